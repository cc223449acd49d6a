// The shell: which view is shown, by the part of the address after #.

import { get, Refused } from "./api.js";
import { count, h } from "./dom.js";
import { SearchView } from "./search.js";

const VIEWS = [{ name: "search", title: "Search", load: async () => SearchView }];

const main = document.getElementById("view");
let collection = null;
let view = null;
let shown = null;
let turn = 0;

/** Name of the view and its values: `#/search?id=a` gives ["search", {id: "a"}]. */
function place() {
  const [path, values] = location.hash.replace(/^#\/?/, "").split("?");
  return [path || "search", Object.fromEntries(new URLSearchParams(values || ""))];
}

async function show() {
  const [name, values] = place();
  const entry = VIEWS.find((one) => one.name === name) || VIEWS[0];
  if (view?.update && shown === entry.name) {
    view.update(values);
    return;
  }
  const mine = ++turn;
  view?.stop?.();
  const View = await entry.load();
  if (mine !== turn) return;
  view = new View(main, collection);
  shown = entry.name;
  document.title = `${entry.title} \u00b7 relsim`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === entry.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  view.start(values);
}

async function begin() {
  try {
    collection = await get("/api/collection");
  } catch (error) {
    const text = error instanceof Refused ? error.message : "The page could not start.";
    main.replaceChildren(h("p", { class: "empty", role: "alert" }, text));
    return;
  }
  document.querySelector(".collection").textContent = `${collection.name}, ${count(collection.images)} images`;
  const links = VIEWS.filter((one) => !one.needs || one.needs(collection)).map((one) =>
    h("a", { href: `#/${one.name}`, "data-view": one.name }, one.title),
  );
  if (links.length > 1) document.querySelector("nav").replaceChildren(...links);
  addEventListener("hashchange", show);
  show();
}

begin();
