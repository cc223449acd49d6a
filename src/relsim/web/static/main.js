// The shell: which view is shown, by the part of the address after #.

import { get, Refused } from "./api.js";
import { count, h, say } from "./dom.js";
import { SearchView } from "./search.js";

/**
 * Every view: `load` gives its class, `needs` tells whether the server offers it, `within` names the view in whose
 * place of the bar it stands.
 */
const VIEWS = [
  { name: "search", title: "Search", load: async () => SearchView },
  { name: "space", title: "Space", needs: ({ axes }) => axes.look !== null, load: async () => (await import("./space.js")).SpaceView },
  { name: "map", title: "Map", load: async () => (await import("./map.js")).MapView },
  { name: "data", title: "Data", needs: offers("data"), load: async () => (await import("./data.js")).DataView },
  { name: "results", title: "Results", needs: offers("results"), load: async () => (await import("./results.js")).ResultsView },
  { name: "study", title: "Study", needs: offers("study"), load: async () => (await import("./study.js")).StudyView },
  {
    name: "study/results",
    title: "Results of the study",
    within: "study",
    needs: offers("study"),
    load: async () => (await import("./study-results.js")).StudyResultsView,
  },
  { name: "jobs", title: "Jobs", needs: offers("jobs"), load: async () => (await import("./jobs.js")).JobsView },
];

const main = document.getElementById("view");
let collection = null;
let view = null;
let shown = null;
let turn = 0;

function offers(name) {
  return (told) => told.offers.includes(name);
}

/** Name of the view and its values: `#/search?id=a` gives ["search", {id: "a"}]. */
function place() {
  const [path, values] = location.hash.replace(/^#\/?/, "").split("?");
  return [path || "search", Object.fromEntries(new URLSearchParams(values || ""))];
}

/** The views that this server has something for. */
const offered = () => VIEWS.filter((one) => !one.needs || one.needs(collection));

async function show() {
  const [name, values] = place();
  const entry = offered().find((one) => one.name === name) || VIEWS[0];
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
    if (link.dataset.view === (entry.within || entry.name)) link.setAttribute("aria-current", "page");
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
  const { name, images, whole = images } = collection; // a site may hold a part
  const number = whole > images ? `the first ${count(images)} of ${count(whole)}` : count(images);
  document.querySelector(".collection").textContent = `${name}, ${number} images`;
  const links = offered()
    .filter((one) => !one.within)
    .map((one) => h("a", { href: `#/${one.name}`, "data-view": one.name }, one.title));
  if (links.length > 1) document.querySelector("nav").replaceChildren(...links);
  addEventListener("hashchange", show);
  show();
}

// A picture that is dropped where nothing takes it would take the place of the page.
for (const name of ["dragover", "drop"]) {
  addEventListener(name, (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    if (name === "drop" && shown !== "search") say("Pictures are taken by the view Search.");
  });
}
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // "#view" is no view, and would lead to the first one
  main.focus();
});
begin();
