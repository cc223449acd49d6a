// Results: what each method found for each query, where one loses against another, and what a judge says.

import { get, runThumbnail } from "./api.js";
import { sideBySide } from "./compare.js";
import { count, h, hear, say, score } from "./dom.js";

const PAGE = 20;
const SHOWN = 10; // matches of a method at first
const MORE = 40; // and at each press of the button after them
const ORDERS = [
  ["file", "as in the file"],
  ["low", "lowest of A first"],
  ["high", "highest of A first"],
  ["gap", "largest loss of A first"],
];

export class ResultsView {
  constructor(main) {
    this.main = main;
    this.listeners = new AbortController();
    this.asking = new AbortController();
  }

  async start(values) {
    this.head = h("section", { "aria-label": "Run" });
    this.filters = h("form", { class: "filters", "aria-label": "Filters", onsubmit: (event) => event.preventDefault() });
    this.list = h("section", { class: "answers", "aria-label": "Queries" });
    this.pager = h("nav", { class: "pager", "aria-label": "Pages" });
    this.main.replaceChildren(this.head, this.filters, this.list, this.pager);
    addEventListener("keydown", (event) => this.pressed(event), { signal: this.listeners.signal });
    await this.update(values);
  }

  stop() {
    this.listeners.abort();
    this.asking.abort();
  }

  /** Show what the address says. */
  async update(values) {
    this.asking.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    this.values = values;
    try {
      this.runs ??= await get("/api/results", {}, signal);
      const number = Math.min(this.runs.length - 1, Math.max(0, Number.parseInt(values.run ?? "0", 10) || 0));
      if (this.number !== number) {
        this.run = await get(`/api/results/${number}`, {}, signal);
        this.number = number;
      }
      this.showHead();
      this.showFilters();
      await this.showQueries(signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.list.replaceChildren(h("p", { class: "empty", role: "alert" }, error.message));
      this.pager.replaceChildren();
    }
  }

  /** What is chosen, with what stands for what the address does not say. */
  get chosen() {
    const { methods, measures } = this.run;
    const one = (value, from, otherwise) => (from.includes(value) ? value : otherwise);
    return {
      measure: one(this.values.measure, measures, measures[0]),
      a: one(this.values.a, methods, methods[0]),
      b: one(this.values.b, methods, methods[1] ?? methods[0]),
      sort: one(this.values.sort, ORDERS.map(([name]) => name), "file"),
      lose: this.values.lose === "1",
      text: this.values.text ?? "",
      page: Math.max(0, Number.parseInt(this.values.page ?? "0", 10) || 0),
    };
  }

  showHead() {
    const { methods, measures, means, queries, judge, unmatched } = this.run;
    const shown = [
      h("h1", {}, "What each method finds"),
      this.runs.length > 1 &&
        h(
          "p",
          { class: "choice" },
          h("label", { for: "run" }, "Run"),
          this.select("run", this.runs.map((run, index) => [String(index), run.name]), String(this.number), (run) => this.go({ run }, true)),
        ),
      h(
        "p",
        { class: "note" },
        this.runs.length > 1 ? "" : `${this.run.name}: `,
        `${count(queries.length)} queries, ${count(methods.length)} methods`,
        judge && `, judged by ${judge}`,
        ". Keys j and k go to the next and the previous query.",
      ),
      unmatched > 0 &&
        h("p", { class: "warning", role: "note" }, `${count(unmatched)} scores of the judge belong to other pictures than are in this run; they are left out.`),
      measures.length > 0 &&
        h(
          "div",
          { class: "wide", tabindex: "0", role: "region", "aria-label": "Means" },
          h(
            "table",
            {},
            h("caption", {}, "Means over queries"),
            h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "method"), measures.map((name) => h("th", { scope: "col" }, told(name))))),
            h(
              "tbody",
              {},
              methods.map((method, index) =>
                h("tr", {}, h("th", { scope: "row", title: method }, method), measures.map((name) => h("td", {}, number(means[name][index])))),
              ),
            ),
          ),
        ),
    ];
    this.head.replaceChildren(...shown.filter(Boolean));
  }

  showFilters() {
    const focused = document.activeElement?.id;
    if (focused === "text" && this.filters.contains(document.activeElement)) return; // who types keeps the field
    const { measure, a, b, sort, lose, text } = this.chosen;
    const { methods, measures } = this.run;
    const names = methods.map((name) => [name, name]);
    const part = (id, label, control) => h("div", {}, h("label", { for: id }, label), control);
    const compared = measures.length > 0;
    this.filters.replaceChildren(
      ...[
        compared && part("measure", "Measure", this.select("measure", measures.map((name) => [name, told(name)]), measure)),
        compared && part("a", "A", this.select("a", names, a)),
        compared && methods.length > 1 && part("b", "B", this.select("b", names, b)),
        compared && part("sort", "Order", this.select("sort", ORDERS, sort)),
        part(
          "text",
          "Query or label",
          h("input", { id: "text", type: "search", value: text, autocomplete: "off", oninput: (event) => this.typed(event.target.value) }),
        ),
        compared &&
          methods.length > 1 &&
          h(
            "div",
            { class: "check" },
            h("input", { id: "lose", type: "checkbox", checked: lose, onchange: (event) => this.go({ lose: event.target.checked ? "1" : undefined }) }),
            h("label", { for: "lose" }, "Only where A loses against B"),
          ),
      ].filter(Boolean),
    );
    if (focused) this.filters.querySelector(`#${CSS.escape(focused)}`)?.focus();
  }

  select(id, options, value, changed = (now) => this.go({ [id]: now })) {
    return h(
      "select",
      { id, onchange: (event) => changed(event.target.value) },
      options.map(([name, text]) => h("option", { value: name, selected: name === value }, text)),
    );
  }

  typed(text) {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.go({ text: text || undefined }), 200);
  }

  /** Places of the queries that are wanted, in the order that is wanted. */
  wanted() {
    const { measure, a, b, sort, lose, text } = this.chosen;
    const { methods, queries } = this.run;
    const [first, second] = [methods.indexOf(a), methods.indexOf(b)];
    const of = (place, method) => queries[place].scores[measure]?.[method] ?? null;
    const loss = (place) => (of(place, first) === null || of(place, second) === null ? null : of(place, second) - of(place, first));
    const sought = text.toLowerCase();
    const found = [...queries.keys()].filter(
      (place) =>
        (!sought || `${queries[place].id} ${queries[place].label ?? ""}`.toLowerCase().includes(sought)) &&
        (!lose || (loss(place) ?? 0) > 0),
    );
    const key = { low: (place) => of(place, first), high: (place) => negative(of(place, first)), gap: (place) => negative(loss(place)) }[sort];
    // What has no number comes last; equal ones stay in the order of the file.
    if (key) found.sort((one, other) => (key(one) ?? Infinity) - (key(other) ?? Infinity) || one - other);
    return found;
  }

  async showQueries(signal) {
    const found = this.wanted();
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    const page = Math.min(this.chosen.page, pages - 1);
    const places = found.slice(page * PAGE, (page + 1) * PAGE);
    const answers = places.length ? await get(`/api/results/${this.number}/matches`, { queries: places.join(",") }, signal) : [];
    this.list.replaceChildren(
      ...(answers.length
        ? answers.map((answer, index) => this.query(answer, page * PAGE + index + 1, found.length))
        : [h("p", { class: "empty" }, "No query is like that.")]),
    );
    this.pager.replaceChildren(
      ...(pages > 1
        ? [
            h("button", { type: "button", disabled: page === 0, onclick: () => this.turn(page - 1, 1) }, "Previous"),
            h("span", {}, `Page ${count(page + 1)} of ${count(pages)}`),
            h("button", { type: "button", disabled: page === pages - 1, onclick: () => this.turn(page + 1, 1) }, "Next"),
          ]
        : []),
    );
    this.page = { page, pages };
    hear(`${count(found.length)} queries`);
    if (this.landing !== undefined) this.step(this.landing);
    this.landing = undefined;
  }

  query(answer, at, total) {
    const query = this.run.queries[answer.query];
    const { measure } = this.chosen;
    const name = label(query.label) || query.id;
    return h(
      "article",
      { class: "answer", tabindex: "-1", "aria-label": `Query ${at} of ${total}: ${name}`, "data-place": String(answer.query) },
      h(
        "figure",
        { class: "asked" },
        this.picture(query.id, `The query: ${name}`),
        h("figcaption", {}, h("b", {}, `${count(at)} of ${count(total)}`), " ", name, query.label && h("span", { class: "id" }, query.id)),
      ),
      h(
        "div",
        { class: "methods" },
        this.run.methods.map((method, index) => {
          const value = query.scores[measure]?.[index] ?? null;
          return h(
            "section",
            { "aria-label": method },
            h("h2", {}, method, measure && h("span", { class: "note" }, value === null ? `no ${told(measure)}` : `${told(measure)} ${number(value)}`)),
            answer.matches[index].length ? this.ranked(query, method, answer.matches[index]) : h("p", { class: "note" }, "Found nothing."),
          );
        }),
      ),
    );
  }

  /** What a method found, the first of them; a button at the end has more. */
  ranked(query, method, matches) {
    const list = h("ol", { class: "ranked" });
    const rest = h("button", { type: "button", class: "small", onclick: () => show(MORE).querySelector("button").focus() });
    const end = h("li", { class: "rest" }, rest, h("span", { class: "note" }));
    const show = (some) => {
      const shown = list.querySelectorAll("li:not(.rest)").length;
      const added = matches.slice(shown, shown + some).map((match) => h("li", {}, this.match(query, method, match)));
      const left = matches.length - shown - added.length;
      list.append(...added, left ? end : "");
      if (!left) end.remove();
      rest.textContent = `${count(Math.min(left, MORE))} more`;
      rest.setAttribute("aria-label", `${count(Math.min(left, MORE))} more that ${method} found`);
      end.lastChild.textContent = `${count(matches.length - left)} of ${count(matches.length)} shown`;
      return added[0];
    };
    show(SHOWN);
    return list;
  }

  match(query, method, match) {
    const name = label(match.label) || match.id;
    const right = match.relevant === null ? null : h("span", { class: match.relevant ? "right" : "wrong" }, match.relevant ? "\u2713 " : "\u2717 ", h("span", { class: "hidden" }, match.relevant ? "right: " : "wrong: "));
    return h(
      "button",
      { type: "button", class: "found-picture", title: match.id, onclick: () => this.compare(query, method, match) },
      this.picture(match.id, `${match.rank}: ${name}`),
      h("span", { class: "under" }, right, match.label && h("span", { "aria-hidden": "true" }, name)),
      h("span", { class: "under numbers" }, score(match.score), match.judged !== null && h("b", { title: "score of the judge" }, ` judge ${number(match.judged)}`)),
    );
  }

  picture(id, alt, side = 192) {
    return h("img", { src: runThumbnail(this.number, id, side), alt, loading: "lazy", decoding: "async" });
  }

  compare(query, method, match) {
    const facts = [
      ["method", method],
      ["place", String(match.rank)],
      ["score", score(match.score)],
      match.judged !== null && ["judge", number(match.judged)],
    ].filter(Boolean);
    sideBySide(
      "The query and what was found",
      [
        { src: runThumbnail(this.number, query.id, 1024), name: query.id, caption: label(query.label) },
        { src: runThumbnail(this.number, match.id, 1024), name: match.id, caption: label(match.label) },
      ],
      h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    );
  }

  pressed(event) {
    if (event.target.closest?.("input, select, textarea, dialog") || event.altKey || event.ctrlKey || event.metaKey) return;
    const way = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    if (!way || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    this.step(way);
  }

  /** To the next query or the one before, over the edge of a page too. */
  step(way) {
    const all = [...this.list.querySelectorAll(".answer")];
    if (!all.length) return;
    const now = all.findIndex((one) => one.contains(document.activeElement));
    const next = now < 0 ? (way > 0 ? 0 : all.length - 1) : now + way;
    if (next >= 0 && next < all.length) {
      all[next].focus({ preventScroll: true });
      all[next].scrollIntoView({ block: "nearest" });
      return;
    }
    const page = this.page.page + way;
    if (page < 0 || page >= this.page.pages) {
      say(way > 0 ? "That was the last query." : "That was the first query.");
      return;
    }
    document.activeElement.blur();
    this.turn(page, way);
  }

  /** To another page, on its first query or (`way` is -1) its last one. */
  turn(page, way) {
    this.landing = way;
    this.go({ page: String(page) });
  }

  /** Change the address; what is not named stays, but another choice begins at the first page. */
  go(changes, anew = false) {
    const values = { ...(anew ? {} : this.values), ...("page" in changes ? {} : { page: undefined }), ...changes };
    const given = Object.entries(values).filter(([, value]) => value !== undefined);
    history.replaceState(null, "", `#/results?${new URLSearchParams(given)}`);
    this.update(Object.fromEntries(given));
  }
}

const negative = (value) => (value === null ? null : -value);

const number = (value) => (value === null ? "\u2013" : Number.isInteger(value) ? String(value) : value.toFixed(3).replace("-", "\u2212"));

const told = (measure) => (measure === "judge" ? "judge's mean" : measure);

const label = (text) => text && text.replaceAll("_", " ");
