// Groups of a list, as they were made: the pictures of each side by side, below the caption that they share.

import { count, h, hear } from "./dom.js";
import { marked } from "./findings.js";

const AT_ONCE = 12; // groups
const WALKED = 200; // rows that are asked for to find them
const MOST = 500; // rows of a group

export class Groups {
  /**
   * `find(start, count)` asks for rows that pass and have a group, `whole(group, count)` for all rows of one; `card(row,
   * shared)` draws one below a caption that they share; `link(group)` is the address of a group alone. `failed(error)`
   * is told what a press of the button met.
   */
  constructor({ find, whole, card, link, failed }) {
    Object.assign(this, { find, whole, card, link });
    this.seen = new Set();
    this.place = 0;
    this.rows = []; // of all groups that are shown, in the order in which they are
    this.list = h("div", { class: "groups" });
    this.button = h("button", { type: "button", hidden: true, onclick: () => this.onwards().catch(failed) }, "More groups");
    this.element = h("div", {}, this.list, h("p", { class: "pager" }, this.button));
  }

  /** Show the next groups; gives their elements. */
  async more() {
    const { found, place } = await this.next();
    const groups = await Promise.all(
      [...found].map(([group, rows]) => (rows.length === rows[0].group_size ? rows : this.whole(group, MOST))),
    );
    const drawn = groups.map((rows) => this.draw(rows));
    this.place = place;
    for (const group of found.keys()) this.seen.add(group);
    this.rows.push(...groups.flat());
    this.list.append(...drawn);
    this.button.hidden = this.place >= this.total;
    return drawn;
  }

  /** The same at a press of the button, which takes the keyboard to the first of them. */
  async onwards() {
    this.button.disabled = true;
    try {
      const drawn = await this.more();
      drawn[0]?.querySelector("h2 a").focus();
      hear(drawn.length ? `${count(drawn.length)} more groups` : "There are no more groups.");
    } finally {
      this.button.disabled = false;
    }
  }

  /** The next groups that have a row which passes, each with those of its rows that were met, and where to go on. */
  async next() {
    const found = new Map();
    let { place } = this;
    while (found.size < AT_ONCE && place < (this.total ?? Infinity)) {
      const page = await this.find(place, WALKED);
      this.total = page.total;
      for (const row of page.rows) {
        const anew = !found.has(row.group) && !this.seen.has(row.group);
        if (anew && found.size === AT_ONCE) break;
        if (anew) found.set(row.group, []);
        found.get(row.group)?.push(row);
        place += 1;
      }
      if (!page.rows.length) place = this.total; // the list has become shorter: corrections may change what passes
    }
    return { found, place };
  }

  draw(rows) {
    const { group, group_size: size } = rows[0];
    const shared = most(rows);
    const of = shared && rows.find((row) => row.caption === shared);
    return h(
      "section",
      { class: "group", "aria-label": `Group ${group}` },
      h(
        "header",
        {},
        h("h2", {}, h("a", { href: this.link(group) }, `Group ${group}`)),
        h("span", { class: "note" }, size > rows.length ? `the first ${count(rows.length)} of ${count(size)} rows` : size === 1 ? "1 row" : `${count(size)} rows`),
        of && h("q", {}, marked(shared, of.findings)),
      ),
      h("ol", { class: "members" }, rows.map((row) => h("li", { "data-row": String(row.row) }, this.card(row, shared)))),
    );
  }

  /** Take a corrected row in the place of what is shown of it. */
  took(row) {
    const place = this.rows.findIndex((one) => one.row === row.row);
    if (place < 0) return;
    this.rows[place] = row;
    const section = this.list.querySelector(`[data-row="${row.row}"]`).closest(".group");
    section.replaceWith(this.draw(this.rows.filter((one) => one.group === row.group)));
  }
}

/** The caption that at least half of the rows have, and not only one of several; null if there is none. */
function most(rows) {
  const times = new Map();
  for (const { caption } of rows) if (caption) times.set(caption, (times.get(caption) ?? 0) + 1);
  const [caption, number] = [...times].reduce((best, one) => (one[1] > best[1] ? one : best), [null, 0]);
  return 2 * number >= rows.length && (number > 1 || rows.length === 1) ? caption : null;
}
