// Data: lists of images with their captions, filtered, looked through and corrected.

import { get, Refused, rowPicture, writes } from "./api.js";
import { count, h, hear, redrawn, say } from "./dom.js";
import { marked, told } from "./findings.js";
import { Grid } from "./grid.js";
import { Groups } from "./groups.js";
import { Review } from "./review.js";
import { RowDialog } from "./row.js";

const PAGE = 50;
const RANGES = ["smallest", "largest", "shortest", "longest"];
const FILTERS = ["text", "status", "anonymous", "finding", "captioned", "corrected", "group", ...RANGES];
const MODES = { pictures: "Pictures", groups: "Groups", rows: "Rows" };
const WAIT = 250; // milliseconds after a key

export class DataView {
  constructor(main) {
    this.main = main;
    this.asking = new AbortController();
  }

  async start(values) {
    try {
      this.lists = await get("/api/data");
    } catch (error) {
      this.fail(error);
      return;
    }
    this.head = h("section", { class: "data-head", "aria-label": "List and filters" });
    this.body = h("section", { class: "found", "aria-label": "Rows" });
    this.main.replaceChildren(this.head, this.body);
    await this.update(values);
  }

  stop() {
    this.asking.abort();
    clearTimeout(this.waiting);
    this.grid?.stop();
    this.review?.close();
  }

  /** Show what the address says. */
  async update(values) {
    this.values = values;
    const name = this.lists.some((one) => one.name === values.list) ? values.list : this.lists[0].name;
    const asked = JSON.stringify([name, values.show, values.page, ...FILTERS.map((one) => values[one])]);
    try {
      if (this.name !== name) {
        this.name = name;
        this.drafts = new Map();
        await this.summarise();
      }
      this.fill();
      if (asked !== this.asked) {
        this.asked = asked;
        await this.find();
      }
      await this.openRow();
    } catch (error) {
      this.asked = null;
      this.fail(error);
    }
  }

  fail(error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Refused)) throw error;
    (this.body || this.main).replaceChildren(h("p", { class: "empty", role: "alert" }, error.message));
  }

  path(rest = "") {
    return `/api/data/${encodeURIComponent(this.name)}${rest}`;
  }

  async summarise() {
    this.summary = await get(this.path());
    redrawn(this.head, "select", () => this.drawHead());
    this.fill();
  }

  drawHead() {
    const one = this.summary;
    const option = (value, text, number) => h("option", { value }, number === undefined ? text : `${text} (${count(number)})`);
    this.controls = {
      list: h("select", { id: "list" }, this.lists.map((entry) => option(entry.name, entry.name, entry.rows))),
      text: h("input", { type: "search", id: "text", maxlength: "500", autocomplete: "off", placeholder: "words" }),
      says: h(
        "select",
        { id: "says" },
        option("", "all", one.rows),
        option("anonymous=true", "anonymous", one.captions - one.named),
        option("anonymous=false", "not anonymous", one.named),
        Object.entries(one.findings).map(([kind, number]) => option(`finding=${kind}`, `\u2013 ${kind}`, number)),
        one.captions < one.rows && option("captioned=false", "no caption", one.rows - one.captions),
        option("corrected=true", "corrected", one.corrected),
      ),
      status: h(
        "select",
        { id: "status" },
        option("", "all", one.rows),
        Object.entries(one.statuses).map(([status, number]) => option(status, statusName(status), number)),
      ),
      smallest: number("smallest", "smallest group"),
      largest: number("largest", "largest group"),
      shortest: number("shortest", "fewest words"),
      longest: number("longest", "most words"),
    };
    const range = (legend, low, high, most) =>
      h("fieldset", {}, h("legend", {}, legend), low, h("span", { "aria-hidden": "true" }, "to"), high, h("span", { class: "note" }, `of ${count(most)}`));
    const field = (label, control) => h("div", { class: "field" }, h("label", { for: control.id }, label), control);
    const { list, text, says, status, smallest, largest, shortest, longest } = this.controls;
    this.clear = h("a", { class: "button small" }, "Clear filters");
    this.modes = h("span", { class: "modes", role: "group", "aria-label": "Show as" });
    this.told = h("p", { class: "note told" });
    const form = h(
      "form",
      { class: "filters", role: "search", onsubmit: (event) => event.preventDefault(), oninput: (event) => this.changed(event) },
      this.lists.length > 1 && field("List", list),
      field("Search captions", text),
      field("Captions", says),
      Object.keys(one.statuses).length > 1 && field("Picture", status),
      h(
        "details",
        { open: RANGES.some((name) => this.values[name] !== undefined) },
        h("summary", {}, "Sizes and lengths"),
        h(
          "div",
          {},
          one.groups > 0 && range("Rows in the group", smallest, largest, one.largest_group),
          one.captions > 0 && range("Words", shortest, longest, one.longest),
        ),
      ),
    );
    this.head.replaceChildren(
      h("h1", {}, this.lists.length > 1 ? "Data" : this.name),
      h("p", { class: "note" }, describe(one)),
      form,
      h(
        "div",
        { class: "tools" },
        this.told,
        this.clear,
        this.modes,
        writes && h("a", { class: "button small", href: this.path("/corrected.jsonl"), download: `${this.name}.jsonl` }, "Export corrected list"),
      ),
    );
  }

  /** Make the controls say what the address says; the one that is being used is left alone. */
  fill() {
    const values = this.values;
    const set = (control, value) => document.activeElement !== control && (control.value = value ?? "");
    for (const name of ["text", "status", ...RANGES]) set(this.controls[name], values[name]);
    set(this.controls.list, this.name);
    const says = ["finding", "anonymous", "captioned", "corrected"].find((one) => values[one] !== undefined);
    set(this.controls.says, says ? `${says}=${values[says]}` : "");
    const filtered = FILTERS.some((one) => values[one] !== undefined);
    this.clear.hidden = !filtered;
    this.clear.setAttribute("href", this.address({ ...this.kept(), page: undefined }));
    const modes = this.offered();
    this.modes.hidden = modes.length < 2;
    const links = modes.map((mode) => {
      const href = this.address({ ...values, show: mode, page: undefined, row: undefined });
      return h("a", { class: "button small", href, "aria-current": String(mode === this.mode()) }, MODES[mode]);
    });
    redrawn(this.modes, "[aria-current=true]", () => this.modes.replaceChildren(...links));
  }

  /** As what the rows of this list can be shown. */
  offered() {
    const { pictures, groups } = this.summary;
    return [pictures > 0 && "pictures", groups > 0 && "groups", "rows"].filter(Boolean);
  }

  mode() {
    const modes = this.offered();
    if (modes.includes(this.values.show)) return this.values.show;
    return modes.includes("pictures") ? "pictures" : "rows";
  }

  /** What a new filter leaves as it is. */
  kept() {
    return { list: this.lists.length > 1 ? this.name : undefined, show: this.values.show };
  }

  changed(event) {
    clearTimeout(this.waiting);
    if (event.target === this.controls.list) {
      this.go({ list: event.target.value });
      return;
    }
    if (event.target.validity && !event.target.validity.valid) return;
    const read = () => {
      const values = { ...this.kept(), group: this.values.group };
      for (const name of ["text", "status", ...RANGES])
        values[name] = this.controls[name].value.trim() || undefined;
      const [name, value] = this.controls.says.value.split("=");
      if (name) values[name] = value;
      this.go(values, true);
    };
    if (event.target.matches("select")) read();
    else this.waiting = setTimeout(read, WAIT);
  }

  address(values) {
    const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== "");
    return `#/data${given.length ? `?${new URLSearchParams(given)}` : ""}`;
  }

  /** Where all rows of a row's group are, side by side. */
  groupAddress(row) {
    return this.address({ ...this.kept(), show: "groups", group: row.group });
  }

  /** Change the address; `quietly` leaves no trace in the history. */
  go(values, quietly = false) {
    const hash = this.address(values);
    if (!quietly) {
      location.hash = hash;
      return;
    }
    history.replaceState(null, "", hash);
    this.update(Object.fromEntries(new URLSearchParams(hash.split("?")[1] || "")));
  }

  /** Ask for the rows that the filters leave. */
  async find() {
    this.asking.abort();
    this.asking = new AbortController();
    this.rows = new Map();
    this.grid?.stop();
    this.grid = this.groups = null;
    const mode = this.mode();
    this.page = mode === "rows" ? Math.max(0, Math.floor(Number(this.values.page) || 1) - 1) : 0;
    if (mode === "groups") await this.drawGroups();
    else this.total = (await this.load(this.page)).total;
    this.tell();
    hear(this.told.textContent);
    redrawn(this.body, "a", () => {
      if (!this.total) this.body.replaceChildren(h("p", { class: "empty" }, "No row passes these filters."));
      else if (mode === "pictures") this.drawGrid();
      else if (mode === "groups") this.body.replaceChildren(this.groups.element);
      else this.drawTable();
    });
  }

  /** Say how many rows pass. */
  tell() {
    const { group } = this.values;
    const text = `${count(this.total)} of ${count(this.summary.rows)} rows${group === undefined ? "" : `, group ${group}`}`;
    this.told.textContent = this.groups && group === undefined ? `Groups that hold ${text}` : text;
  }

  async load(page) {
    const found = await this.ask({ ...this.filters(), start: page * PAGE, count: PAGE });
    for (const [place, row] of found.rows.entries()) this.rows.set(found.start + place, row);
    return found;
  }

  ask(values) {
    return get(this.path("/rows"), values, this.asking.signal);
  }

  filters() {
    return Object.fromEntries(FILTERS.map((one) => [one, this.values[one]]));
  }

  async drawGroups() {
    const { signal } = this.asking;
    const filters = this.filters();
    const groups = new Groups({
      find: (start, number) => this.ask({ ...filters, smallest: filters.smallest ?? 1, start, count: number }),
      whole: async (group, number) => (await this.ask({ group, start: 0, count: number })).rows,
      card: (row, shared) => this.card(row, shared),
      link: (group) => this.address({ ...this.kept(), group }),
      failed: (error) => error.name !== "AbortError" && say(error.message),
    });
    await groups.more();
    signal.throwIfAborted();
    this.groups = groups;
    this.total = groups.total;
  }

  drawGrid() {
    const loading = new Set([0]);
    this.grid = new Grid({
      total: this.total,
      label: `${count(this.total)} rows`,
      text: this.summary.groups > 0 ? 88 : 66,
      draw: (index) => (this.rows.has(index) ? this.card(this.rows.get(index)) : null),
      need: async (first, last) => {
        for (let page = Math.floor(first / PAGE); page <= Math.floor((last - 1) / PAGE); page++) {
          if (loading.has(page)) continue;
          loading.add(page);
          try {
            await this.load(page);
            this.grid?.refresh();
          } catch (error) {
            loading.delete(page);
            if (error.name !== "AbortError") say(error.message);
          }
        }
      },
    });
    this.body.replaceChildren(this.grid.element);
    this.grid.start();
  }

  /** A row as a picture. `shared` is the caption of the group among whose pictures it stands, if it is shown there. */
  card(row, shared) {
    const caption = row.caption || row.id;
    const group = shared === undefined && row.group !== null && this.values.group !== row.group;
    return h(
      "article",
      { class: "card" },
      h(
        "a",
        { href: this.address({ ...this.values, row: String(row.row) }), title: row.id },
        row.picture
          ? h("img", { src: this.picture(row), alt: caption, loading: "lazy", decoding: "async" })
          : h("span", { class: "none" }, h("span", { class: "hidden" }, caption), statusName(row.status), row.reason && h("span", { class: "note" }, row.reason)),
      ),
      (!shared || row.caption !== shared) &&
        h("p", { class: "caption", "aria-hidden": "true" }, row.caption ? marked(row.caption, row.findings) : row.id),
      group && h("a", { class: "of", href: this.groupAddress(row) }, `group ${row.group} (${count(row.group_size)})`),
    );
  }

  picture(row, side = 192) {
    return rowPicture(this.name, row.row, side);
  }

  drawTable() {
    const { groups, statuses } = this.summary;
    const states = Object.keys(statuses).length > 1;
    const shown = [...this.rows.entries()].sort(([one], [other]) => one - other).map(([, row]) => row);
    const table = h(
      "table",
      { class: "rows" },
      h("caption", { class: "hidden" }, "Rows of the list"),
      h("thead", {}, h("tr", {}, ["Row", "Caption", groups > 0 && "Group", states && "Picture", "Words"].filter(Boolean).map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, shown.map((row) => this.line(row, groups > 0, states))),
    );
    this.body.replaceChildren(table, this.pager());
  }

  line(row, groups, states) {
    const open = this.address({ ...this.values, row: String(row.row) });
    const group = groups && row.group !== null && h("a", { href: this.address({ ...this.kept(), group: row.group }), title: "The rows of this group" }, `${row.group}`);
    return h(
      "tr",
      { "data-row": String(row.row) },
      h("td", { class: "number" }, count(row.row)),
      h(
        "td",
        {},
        h("a", { class: "says", href: open }, row.caption ? marked(row.caption, row.findings) : row.link || row.id),
        row.findings.length > 0 && h("span", { class: "note" }, told(row.findings)),
        row.caption !== row.listed && h("span", { class: "note" }, "corrected"),
        row.link && h("a", { class: "note link", href: row.link, target: "_blank", rel: "noopener noreferrer" }, new URL(row.link).host),
      ),
      groups && h("td", {}, group && [group, h("span", { class: "note" }, ` of ${count(row.group_size)}`)]),
      states && h("td", {}, statusName(row.status), row.reason && h("span", { class: "note" }, row.reason)),
      h("td", { class: "number" }, row.caption ? count(row.caption.split(/\s+/).length) : ""),
    );
  }

  pager() {
    const pages = Math.ceil(this.total / PAGE);
    if (pages < 2) return "";
    const link = (page, text, there) =>
      there
        ? h("a", { class: "button", href: this.address({ ...this.values, row: undefined, page: String(page + 1) }), onclick: () => scrollTo({ top: 0 }) }, text)
        : h("span", { class: "button", "aria-disabled": "true" }, text);
    return h(
      "nav",
      { class: "pager", "aria-label": "Pages" },
      link(this.page - 1, "Earlier", this.page > 0),
      h("span", {}, `Page ${count(this.page + 1)} of ${count(pages)}`),
      link(this.page + 1, "Later", this.page + 1 < pages),
    );
  }

  /** Open the row that the address names, or close the one that it no longer names. */
  async openRow() {
    const wanted = this.values.row;
    if (wanted === undefined) {
      this.review?.close();
      return;
    }
    const number = Number(wanted);
    const row = [...this.known().values()].find((one) => one.row === number) || (await get(this.path("/row"), { row: number }));
    this.review ||= new (writes ? Review : RowDialog)(this, () => {
      this.review = null;
      if (this.values.row !== undefined) this.go({ ...this.values, row: undefined }, true);
    });
    this.review.show(row);
  }

  /** The row `step` places after a row among those found, null where there is none. */
  async beside(row, step) {
    const known = this.known();
    const found = [...known.entries()].find(([, one]) => one.row === row.row);
    if (!found) return null;
    const place = found[0] + step;
    if (this.groups) return known.get(place) || null;
    if (place < 0 || place >= this.total) return null;
    if (!this.rows.has(place)) await this.load(Math.floor(place / PAGE));
    return this.rows.get(place) || null;
  }

  /** Rows that are here, by their place among those shown. */
  known() {
    return this.groups ? new Map(this.groups.rows.entries()) : this.rows;
  }

  /** Take a corrected row in the place of what is shown of it; the list stays as it was found. */
  async took(row) {
    for (const [place, one] of this.rows) if (one.row === row.row) this.rows.set(place, row);
    const old = this.body.querySelector(`tr[data-row="${row.row}"]`);
    if (old) old.replaceWith(this.line(row, this.summary.groups > 0, Object.keys(this.summary.statuses).length > 1));
    this.grid?.refresh();
    this.groups?.took(row);
    await this.summarise();
    this.tell();
  }
}

function number(id, label) {
  return h("input", { type: "number", id, min: "0", inputmode: "numeric", "aria-label": label });
}

function statusName(status) {
  return { ok: "there", listed: "not fetched" }[status] || status.replaceAll("_", " ");
}

function describe(one) {
  const parts = [
    `${count(one.captions)} captions, ${count(one.named)} of them not anonymous`,
    one.groups > 0 && `${count(one.groups)} groups`,
    one.pictures > 0 && `${count(one.pictures)} pictures`,
    one.statuses.dead > 0 && `${count(one.statuses.dead)} dead links`,
    one.corrected > 0 && `${count(one.corrected)} corrected`,
    one.people.length > 0 && `by ${one.people.join(", ")}`,
  ];
  const rows = one.whole > one.rows ? `The first ${count(one.rows)} of ${count(one.whole)} rows, the others are not in this site` : `${count(one.rows)} rows`;
  return `${rows}: ${parts.filter(Boolean).join("; ")}`;
}
