// A grid that holds a hundred thousand pictures: only the rows in sight are in the document.

import { h } from "./dom.js";

const GAP = 14;
const MARGIN_ROWS = 2;

/**
 * A grid of `total` items. `draw(index)` gives the element of an item, or null while it is not known yet;
 * `need(first, last)` is told which items are in sight, and calls `refresh` when it has them.
 * Arrow keys, Home and End move between items; one item at a time can be reached with Tab.
 */
export class Grid {
  constructor({ total, draw, need = () => {}, label, width = 168, text = 74 }) {
    Object.assign(this, { total, draw, need, wanted: width, text });
    this.shown = new Map();
    this.current = 0;
    this.element = h("div", { class: "grid", role: "list", "aria-label": label, onkeydown: (event) => this.move(event) });
    this.element.addEventListener("focusin", (event) => {
      const item = event.target.closest("[data-index]");
      if (item) this.choose(Number(item.dataset.index));
    });
    this.onscroll = () => {
      clearTimeout(this.kept);
      const { hash } = location;
      this.kept = setTimeout(() => hash === location.hash && history.replaceState({ top: scrollY }, ""), 100);
      if (!this.frame) this.frame = requestAnimationFrame(() => this.paint());
    };
    this.watcher = new ResizeObserver(() => this.measure());
  }

  /** Begin to follow the window; to be called once the element is in the document. */
  start() {
    addEventListener("scroll", this.onscroll, { passive: true });
    this.watcher.observe(this.element);
    this.measure();
    if (history.state?.top) scrollTo({ top: history.state.top }); // "Back" leads to where one was
  }

  stop() {
    removeEventListener("scroll", this.onscroll);
    clearTimeout(this.kept);
    this.watcher.disconnect();
    cancelAnimationFrame(this.frame);
  }

  /** Draw again what is in sight; the keyboard stays where it was. */
  refresh() {
    const [focused] = [...this.shown].find(([, item]) => item.contains(document.activeElement)) ?? [];
    this.awaited ??= focused;
    for (const item of this.shown.values()) item.remove();
    this.shown.clear();
    this.paint();
  }

  measure() {
    const width = this.element.clientWidth;
    if (!width) return;
    this.columns = Math.max(2, Math.floor((width + GAP) / (this.wanted + GAP)));
    this.side = Math.floor((width - GAP * (this.columns - 1)) / this.columns);
    this.row = this.side + this.text + GAP;
    const rows = Math.ceil(this.total / this.columns);
    this.element.style.height = `${Math.max(0, rows * this.row - GAP)}px`;
    this.refresh();
  }

  paint() {
    this.frame = 0;
    if (!this.columns) return;
    const top = -this.element.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / this.row) - MARGIN_ROWS) * this.columns;
    const last = Math.min(this.total, (Math.ceil((top + innerHeight) / this.row) + MARGIN_ROWS) * this.columns);
    for (const [index, item] of this.shown) {
      if ((index < first || index >= last) && !item.contains(document.activeElement)) {
        item.remove();
        this.shown.delete(index);
      }
    }
    if (first < last) this.need(first, last);
    for (let index = first; index < last; index++) {
      if (this.shown.has(index)) continue;
      const drawn = this.draw(index);
      const item = h("div", { class: drawn ? "cell" : "cell unknown", role: "listitem", "data-index": String(index) }, drawn);
      item.style.cssText = `width:${this.side}px;left:${(index % this.columns) * (this.side + GAP)}px;top:${
        Math.floor(index / this.columns) * this.row
      }px;--side:${this.side}px`;
      item.setAttribute("aria-setsize", String(this.total));
      item.setAttribute("aria-posinset", String(index + 1));
      this.reach(item);
      this.shown.set(index, item);
      this.place(item, index);
    }
    this.choose(Math.min(this.current, Math.max(0, this.total - 1)));
    this.focusAwaited();
  }

  /** Give the keyboard the item that it went to before the item was known, unless it has gone elsewhere. */
  focusAwaited() {
    const link = this.shown.get(this.awaited)?.querySelector("a, button");
    const free = document.activeElement === document.body || this.element.contains(document.activeElement);
    if (link && free) link.focus({ preventScroll: true });
    if (link || !free) this.awaited = undefined;
  }

  /** In the order of the items, whichever came into sight first. */
  place(item, index) {
    const after = [...this.element.children].find((other) => Number(other.dataset.index) > index);
    this.element.insertBefore(item, after || null);
  }

  choose(index) {
    const before = this.shown.get(this.current);
    this.current = index;
    for (const item of [before, this.shown.get(index)]) if (item) this.reach(item);
  }

  /** Let Tab reach what is in an item if it is the current one. */
  reach(item) {
    const tabIndex = Number(item.dataset.index) === this.current ? 0 : -1;
    for (const one of item.querySelectorAll("a, button")) one.tabIndex = tabIndex;
  }

  move(event) {
    if (event.target.closest("input, select, textarea") || event.altKey || event.ctrlKey || event.metaKey) return;
    const steps = {
      ArrowRight: 1,
      ArrowLeft: -1,
      ArrowDown: this.columns,
      ArrowUp: -this.columns,
      Home: -this.total,
      End: this.total,
    };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const index = Math.min(this.total - 1, Math.max(0, this.current + steps[event.key]));
    const at = this.element.getBoundingClientRect().top + scrollY + Math.floor(index / this.columns) * this.row;
    if (at < scrollY || at + this.row > scrollY + innerHeight) scrollTo({ top: at - innerHeight / 3 });
    this.awaited = index;
    this.choose(index);
    this.paint();
  }
}
