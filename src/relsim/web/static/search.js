// Search: by a picture of the collection, a picture of your own, or a sentence; from same look to same logic.

import { get, Refused, thumbnail, upload } from "./api.js";
import { compare } from "./compare.js";
import { above, count, h, hear, percent, say, score } from "./dom.js";
import { Grid } from "./grid.js";

const RESULTS = 120;
const PAGE = 200;
const STOPS = [
  [0, "same look"],
  [0.5, "same logic"],
  [1, "same logic, different look"],
];
const EXAMPLES = [
  "{Objects} arranged in a ring",
  "Growth of {Subject} in several stages",
  "{Container} filled with many small {Objects}",
  "Layers inside {Subject}, cut open",
];

export class SearchView {
  constructor(main, collection) {
    this.main = main;
    this.collection = collection;
    this.two = collection.axes.look !== null;
    this.uploads = collection.limits.upload_bytes > 0; // a site without a server takes none
    this.listeners = new AbortController();
    this.asking = new AbortController();
  }

  start(values) {
    this.field = h("input", {
      type: "search",
      id: "sentence",
      maxlength: String(this.collection.limits.sentence),
      placeholder: "{Objects} in a ring",
      autocomplete: "off",
      spellcheck: "false",
      disabled: !this.collection.sentences,
    });
    this.file = h("input", { type: "file", accept: "image/*", class: "hidden", id: "file", tabindex: "-1", onchange: () => this.chosen() });
    this.ask = h(
      "form",
      { class: "ask", role: "search", onsubmit: (event) => this.submitted(event) },
      this.collection.sentences && [
        h("label", { for: "sentence" }, "A sentence that names nothing"),
        h("div", { class: "line" }, this.field, h("button", { class: "primary" }, "Search")),
      ],
      this.uploads && h(
        "p",
        { class: "or" },
        this.collection.sentences ? "or " : "",
        h("label", { for: "file", class: "button", tabindex: "0", role: "button", onkeydown: pressed }, "Choose a picture"),
        this.file,
        h("span", {}, ", drop one anywhere, or paste it"),
      ),
    );
    this.head = h("section", { class: "query", "aria-label": "Query" });
    this.body = h("section", { class: "found", "aria-label": "Pictures" });
    this.veil = h("div", { class: "veil", hidden: true, "aria-hidden": "true" }, h("p", {}, "Drop it to search"));
    this.main.replaceChildren(this.ask, this.head, this.body, this.veil);
    const signal = this.listeners.signal;
    this.ask.hidden = !this.uploads && !this.collection.sentences;
    if (this.uploads) this.listen(signal);
    this.update(values);
  }

  /** The keyboard goes on from the heading where what it stood on has gone. */
  focusHeading() {
    const heading = this.head.querySelector("h1");
    if (document.activeElement !== document.body || !heading) return;
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }

  /** Take pictures that are dropped or pasted. */
  listen(signal) {
    addEventListener("dragover", (event) => this.dragged(event), { signal });
    addEventListener("dragleave", (event) => !event.relatedTarget && (this.veil.hidden = true), { signal });
    addEventListener("drop", (event) => this.dropped(event), { signal });
    addEventListener("paste", (event) => this.pasted(event), { signal });
  }

  stop() {
    this.listeners.abort();
    this.asking.abort();
    this.grid?.stop();
  }

  /** Show what the address says. */
  async update(values) {
    this.asking.abort();
    this.asking = new AbortController();
    const { id, upload: token, text } = values;
    this.values = values;
    document.title = `${text || (id || token ? `Works like ${id || "a picture"}` : "Search")} \u00b7 relsim`;
    if (document.activeElement !== this.field) this.field.value = text || "";
    if (!id && !token && !text) {
      this.browse();
      return;
    }
    const blend = this.blend();
    try {
      const found = await get(
        "/api/search",
        { id, upload: token, text, blend, count: RESULTS },
        this.asking.signal,
      );
      this.showQuery(found);
      this.showMatches(found);
      this.focusHeading();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Refused)) throw error;
      this.head.replaceChildren();
      this.replaceGrid(null, h("p", { class: "empty", role: "alert" }, error.message));
    }
  }

  blend() {
    const given = Number(this.values.blend ?? 0.5);
    return given >= 0 && given <= 1 ? given : 0.5;
  }

  /** All images of the collection, page by page as they come into sight. */
  browse() {
    const pages = new Map();
    const signal = this.asking.signal;
    const grid = new Grid({
      total: this.collection.images,
      label: "All pictures",
      text: 44,
      draw: (index) => {
        const image = pages.get(Math.floor(index / PAGE))?.[index % PAGE];
        return image ? this.card(image) : null;
      },
      need: async (first, last) => {
        for (let page = Math.floor(first / PAGE); page <= Math.floor((last - 1) / PAGE); page++) {
          if (pages.has(page)) continue;
          pages.set(page, undefined);
          try {
            pages.set(page, (await get("/api/images", { start: page * PAGE, count: PAGE }, signal)).images);
            grid.refresh();
          } catch (error) {
            pages.delete(page);
            if (error.name !== "AbortError") say(error.message);
          }
        }
      },
    });
    const sentences = this.collection.sentences && [
      "Or try a sentence: ",
      EXAMPLES.map((text, index) => [
        index ? h("span", { "aria-hidden": "true" }, " \u00b7 ") : null,
        h("a", { href: `#/search?${new URLSearchParams({ text })}`, class: "example" }, text),
      ]),
    ];
    this.head.replaceChildren(
      h(
        "div",
        { class: "lead" },
        h("h1", {}, "Find pictures that work alike"),
        h("p", {}, "Click a picture: what comes first shares its logic, whatever it looks like."),
        sentences && h("p", { class: "examples" }, sentences),
      ),
    );
    this.replaceGrid(grid);
  }

  showQuery(found) {
    const isText = found.kind === "text";
    const picture = found.kind === "upload" ? { upload: found.query } : { id: found.query };
    this.query = isText ? null : picture;
    const caption = found.kind === "upload" ? "your picture" : found.caption || found.query;
    const shown = isText
      ? h("blockquote", {}, found.query)
      : h(
          "figure",
          { class: "asked" },
          h("img", { src: thumbnail(picture, 384), alt: `The query: ${caption}` }),
          h("figcaption", {}, caption),
        );
    const again = this.head.querySelector(".slider input");
    if (again && this.shownFor === JSON.stringify([found.kind, found.query])) {
      this.mark(again, found.blend); // the slider keeps its focus while it is moved
      return;
    }
    this.shownFor = JSON.stringify([found.kind, found.query]);
    this.head.replaceChildren(
      h(
        "div",
        { class: "asking" },
        shown,
        h(
          "div",
          { class: "how" },
          h("h1", {}, isText ? "Pictures of this logic" : "Works like this"),
          found.blend === null
            ? h("p", { class: "note" }, isText ? "A sentence says nothing of looks, so one axis counts." : "This collection has one axis.")
            : this.slider(found.blend),
          byIndex(found.path),
          h(
            "p",
            { class: "links" },
            !isText && this.two && h("a", { href: `#/space?${new URLSearchParams(picture)}` }, "Its similarity space"),
            h("a", { href: "#/search" }, "All pictures"),
          ),
        ),
      ),
    );
  }

  slider(blend) {
    let waiting = 0;
    const input = h("input", {
      type: "range",
      id: "blend",
      min: "0",
      max: "1",
      step: "0.05",
      list: "stops",
      oninput: () => {
        this.mark(input, Number(input.value));
        clearTimeout(waiting);
        waiting = setTimeout(() => this.go({ ...this.values, blend: input.value }, true), 120);
      },
    });
    input.value = String(blend);
    const slider = h(
      "div",
      { class: "slider" },
      h("label", { for: "blend" }, "What counts"),
      input,
      h("datalist", { id: "stops" }, STOPS.map(([value]) => h("option", { value: String(value) }))),
      h(
        "div",
        { class: "stops" },
        STOPS.map(([value, text]) =>
          h("button", { type: "button", onclick: () => this.go({ ...this.values, blend: String(value) }, true) }, text),
        ),
      ),
    );
    this.mark(input, blend);
    return slider;
  }

  mark(input, blend) {
    if (document.activeElement !== input) input.value = String(blend);
    const [stop, text] = STOPS.reduce((one, other) => (Math.abs(other[0] - blend) < Math.abs(one[0] - blend) ? other : one));
    input.setAttribute("aria-valuetext", stop === blend ? text : `between, near ${text}`);
    for (const [index, button] of [...(input.parentElement?.querySelectorAll(".stops button") ?? [])].entries())
      button.setAttribute("aria-pressed", String(STOPS[index][0] === blend));
  }

  showMatches(found) {
    const grid = new Grid({
      total: found.matches.length,
      label: `${found.matches.length} pictures, the most alike first`,
      text: this.two ? 84 : 66,
      draw: (index) => this.card(found.matches[index], true),
    });
    this.replaceGrid(grid, found.matches.length ? null : h("p", { class: "empty" }, "Nothing else is here."));
    hear(`${count(found.matches.length)} pictures, the most alike first`);
  }

  /** A picture with what is known of it; a click searches on with it. */
  card(image, scored = false) {
    const text = image.caption || image.id;
    const query = this.query;
    return h(
      "article",
      { class: "card" },
      h(
        "a",
        { href: `#/search?${new URLSearchParams({ id: image.id, ...(this.two && { blend: this.blend() }) })}`, title: image.id },
        h("img", { src: thumbnail(image, 192), alt: text, loading: "lazy", decoding: "async" }),
      ),
      scored &&
        query &&
        h(
          "button",
          {
            class: "beside",
            type: "button",
            title: "Compare",
            "aria-label": `Compare with ${text}`,
            onclick: () => compare(query, image, this.listeners.signal, { reasons: this.collection.sentences && this.uploads }),
          },
          h(
            "svg",
            { viewBox: "0 0 20 12", width: "20", height: "12", "aria-hidden": "true" },
            h("rect", { x: "1", y: "1", width: "8", height: "10", rx: "1.5" }),
            h("rect", { x: "11", y: "1", width: "8", height: "10", rx: "1.5" }),
          ),
        ),
      scored && bars(image),
      h("p", { class: "caption" }, text),
    );
  }

  replaceGrid(grid, note = null) {
    this.grid?.stop();
    this.grid = grid;
    this.body.replaceChildren(...[note, grid?.element].filter(Boolean));
    grid?.start();
  }

  /** Change the address; `quietly` leaves no trace in the history. */
  go(values, quietly = false) {
    const hash = `#/search?${new URLSearchParams(values)}`;
    if (!quietly) {
      location.hash = hash;
      return;
    }
    history.replaceState(null, "", hash);
    this.update(values);
  }

  submitted(event) {
    event.preventDefault();
    const text = this.field.value.trim();
    if (text) this.go({ text });
  }

  chosen() {
    const [file] = this.file.files;
    this.file.value = "";
    if (file) this.bring(file);
  }

  dragged(event) {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    this.veil.hidden = false;
  }

  dropped(event) {
    this.veil.hidden = true;
    const [file] = event.dataTransfer.files;
    if (!file) return;
    event.preventDefault();
    this.bring(file);
  }

  pasted(event) {
    const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
    if (!file) return;
    event.preventDefault();
    this.bring(file);
  }

  async bring(file) {
    if (file.size > this.collection.limits.upload_bytes) {
      say(`This file is larger than ${Math.floor(this.collection.limits.upload_bytes / 2 ** 20)} MiB.`);
      return;
    }
    say("Looking at your picture \u2026");
    try {
      const { upload: token } = await upload(file);
      // Whoever has gone to another view meanwhile stays there.
      if (!this.listeners.signal.aborted) this.go({ upload: token, blend: this.blend() });
    } catch (error) {
      say(error.message);
    }
  }
}

/** What an index that was searched may miss; nothing where every picture was compared. */
function byIndex(path) {
  if (!path?.recall) return null;
  const { k, value } = path.recall;
  const text = `Searched by the index ${path.kind} (recall@${k} ${value.toFixed(4)} when it was built).`;
  return h("p", { class: "note" }, text);
}

/** The two scores as bars from 0 to 1, with percentiles where they are known. */
function bars(image) {
  const rows = [["logic", "relation", image.relation, image.relation_percentile]];
  if (image.look !== null) rows.push(["look", "look", image.look, image.look_percentile]);
  return h(
    "dl",
    { class: "bars" },
    rows.map(([label, axis, value, percentile]) =>
      h(
        "div",
        { class: axis, title: percentile === null ? "" : percent(percentile) },
        h("dt", {}, label),
        h(
          "dd",
          {},
          h("span", { class: "bar", style: { "--value": String(Math.max(0, value)) }, "aria-hidden": "true" }),
          score(value),
          percentile !== null && h("small", { title: percent(percentile) }, percentile < 99 ? `${Math.floor(percentile)} %` : above(percentile)),
        ),
      ),
    ),
  );
}

function pressed(event) {
  if (event.key !== "Enter" && event.key !== " ") return;
  event.preventDefault();
  document.getElementById(event.target.htmlFor)?.click();
}
