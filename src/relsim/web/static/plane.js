// A plane of pictures on a canvas: zoom (wheel, pinch, buttons, keys), pan, hover, click, lasso, PNG.

import { h, say } from "./dom.js";
import { Gestures, STEP } from "./gestures.js";
import { marks, picture, Thumbnails } from "./marks.js";

const MOST_ZOOM = 200;
const EDGE = 52; // pixels beside the outermost points, in all
const NEAR = 14; // pixels from a mark that still hit it

/**
 * Points are `{id, x, y, group}` with x and y from 0 to 1, y upwards, the most important first.
 * `ground(context, plane)` draws what lies below, `above` what lies on top; `tell(point)` gives what the tip says of a
 * point; `pick(point)` is called at a click, `caught(points)` at the end of a lasso. `square` keeps both scales alike.
 */
export class Plane {
  constructor({ points, label, help, ground = () => {}, above = () => {}, tell, pick, caught, square = false, pad, name }) {
    Object.assign(this, { points, ground, above, tell, pick, caught, square, pad, name });
    this.view = { x: 0.5, y: 0.5, zoom: 1 };
    this.selected = new Set();
    this.only = null; // a group: the others step back
    this.pictures = new Thumbnails(() => this.redraw());
    this.canvas = h("canvas", {
      tabindex: "0",
      role: "application",
      "aria-label": label,
      "aria-describedby": "plane-help",
    });
    this.gestures = new Gestures(this);
    this.tip = h("div", { class: "tip", hidden: true });
    const button = (text, title, onclick) => h("button", { type: "button", title, "aria-label": title, onclick }, text);
    this.lassoing = h(
      "button",
      { type: "button", "aria-pressed": "false", title: "Draw around pictures to select them (or hold Shift)", onclick: () => this.arm(!this.armed) },
      "Lasso",
    );
    this.tools = h(
      "div",
      { class: "plane-tools", role: "toolbar", "aria-label": "Plane" },
      button("+", "Zoom in", () => this.zoom(STEP)),
      button("\u2212", "Zoom out", () => this.zoom(1 / STEP)),
      button("All", "Show all", () => this.whole()),
      this.lassoing,
      button("Select what is in view", "Select what is in view", () => this.caught(this.inView())),
      button("Save PNG", "Save as PNG", () => this.save()),
    );
    this.element = h(
      "div",
      { class: "plane" },
      this.tools,
      h("div", { class: "sheet" }, this.canvas, this.tip),
      h("p", { class: "note", id: "plane-help" }, help),
    );
    this.watcher = new ResizeObserver(() => this.measure());
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.rescheme = () => this.measure();
  }

  start() {
    this.watcher.observe(this.canvas);
    this.scheme.addEventListener("change", this.rescheme);
    this.measure();
  }

  stop() {
    this.watcher.disconnect();
    this.scheme.removeEventListener("change", this.rescheme);
    cancelAnimationFrame(this.frame);
    this.frame = -1;
  }

  measure() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    const ratio = devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const pad = this.pad?.(width) ?? { left: 8, right: 8, top: 8, bottom: 8 };
    const box = { left: pad.left, top: pad.top, width: width - pad.left - pad.right, height: height - pad.top - pad.bottom };
    // Pictures at the very edge are seen whole.
    const [across, up] = [box.width - EDGE, box.height - EDGE];
    const least = Math.min(across, up);
    this.size = { width, height, ratio };
    this.box = box;
    this.unit = this.square ? { x: least, y: least } : { x: across, y: up };
    const style = getComputedStyle(this.canvas);
    const named = (name) => style.getPropertyValue(`--${name}`).trim();
    this.colours = Object.fromEntries(["paper", "ink", "soft", "line", "accent", "look"].map((name) => [name, named(name)]));
    this.redraw();
  }

  /** Where a place of the plane is on the canvas, in pixels of the page; `at` is the way back. */
  to(x, y) {
    const { box, unit, view } = this;
    return [
      box.left + box.width / 2 + (x - view.x) * view.zoom * unit.x,
      box.top + box.height / 2 - (y - view.y) * view.zoom * unit.y,
    ];
  }

  at(left, top) {
    const { box, unit, view } = this;
    return [
      view.x + (left - box.left - box.width / 2) / (view.zoom * unit.x),
      view.y - (top - box.top - box.height / 2) / (view.zoom * unit.y),
    ];
  }

  redraw() {
    if (!this.frame && this.size) this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = 0;
    const { size, box, colours } = this;
    this.canvas.dataset.zoom = this.view.zoom.toFixed(2);
    // A finger moves the page while there is nothing to move here.
    this.canvas.style.touchAction = this.view.zoom === 1 && !this.armed ? "pan-y" : "none";
    const context = this.canvas.getContext("2d");
    context.setTransform(size.ratio, 0, 0, size.ratio, 0, 0);
    context.fillStyle = colours.paper;
    context.fillRect(0, 0, size.width, size.height);
    this.ground(context, this);
    context.save();
    context.beginPath();
    context.rect(box.left, box.top, box.width, box.height);
    context.clip();
    this.drawPoints(context);
    this.above(context, this);
    if (this.gestures.rope) this.drawRope(context, this.gestures.rope);
    context.restore();
    this.pictures.fetch();
  }

  /** Pictures where no earlier one is in the way, marks for the others. Keeps what it drew, for hits. */
  drawPoints(context) {
    const { box, colours, view } = this;
    const side = Math.min(96, (box.width < 600 ? 34 : 46) * (1 + Math.log2(view.zoom) / 4));
    const taken = new Map();
    const shown = [];
    const small = [];
    for (const point of this.points) {
      const [x, y] = this.to(point.x, point.y);
      if (x < box.left - side || y < box.top - side || x > box.left + box.width + side || y > box.top + box.height + side) continue;
      const back = this.only !== null && point.group !== this.only;
      if (!back && this.isFree(taken, x, y, side)) shown.push({ point, x, y });
      else small.push({ point, x, y, back });
    }
    this.drawn = { shown, small, side };
    context.globalAlpha = 0.25;
    marks(context, small.filter((one) => one.back).map(({ point, x, y }) => [point.group ?? 0, x, y]), colours.ink);
    context.globalAlpha = 1;
    marks(context, small.filter((one) => !one.back).map(({ point, x, y }) => [point.group ?? 0, x, y]), colours.ink);
    for (const one of small) {
      if (!this.selected.has(one.point.id)) continue;
      context.strokeStyle = colours.accent;
      context.lineWidth = 3;
      context.strokeRect(one.x - 7, one.y - 7, 14, 14);
    }
    for (const one of shown) this.drawPicture(context, one, side);
    const over = this.hovered && [...shown, ...small].find((one) => one.point === this.hovered);
    if (over) this.drawPicture(context, over, Math.max(side, 64));
  }

  drawPicture(context, { point, x, y }, side) {
    const strong = point === this.hovered || this.selected.has(point.id);
    const frame = strong ? this.colours.accent : (point.frame ?? this.colours.line);
    picture(context, this.pictures.of(point.id), x, y, side - 6, {
      frame,
      paper: this.colours.paper,
      width: strong ? 4 : point.frame ? 3 : 1,
    });
  }

  isFree(taken, x, y, side) {
    const [column, row] = [Math.floor(x / side), Math.floor(y / side)];
    for (let a = column - 1; a <= column + 1; a++) {
      for (let b = row - 1; b <= row + 1; b++) {
        const other = taken.get(`${a},${b}`);
        if (other && Math.abs(other[0] - x) < side && Math.abs(other[1] - y) < side) return false;
      }
    }
    taken.set(`${column},${row}`, [x, y]);
    return true;
  }

  drawRope(context, rope) {
    context.beginPath();
    for (const [x, y] of rope) context.lineTo(x, y);
    context.closePath();
    context.globalAlpha = 0.18;
    context.fillStyle = this.colours.accent;
    context.fill();
    context.globalAlpha = 1;
    context.strokeStyle = this.colours.accent;
    context.lineWidth = 2;
    context.stroke();
  }

  /** The point at a place of the canvas: a picture there, else the nearest mark. */
  hit(x, y) {
    if (!this.drawn || x < this.box.left || y < this.box.top || x > this.box.left + this.box.width || y > this.box.top + this.box.height) return null;
    const half = this.drawn.side / 2;
    const on = this.drawn.shown.find((one) => Math.abs(one.x - x) <= half && Math.abs(one.y - y) <= half);
    if (on) return on;
    let best = null;
    let least = NEAR;
    for (const one of this.drawn.small) {
      const far = Math.hypot(one.x - x, one.y - y);
      if (far < least) [best, least] = [one, far];
    }
    return best;
  }

  inView() {
    const { left, top, width, height } = this.box;
    return this.points.filter((point) => {
      const [x, y] = this.to(point.x, point.y);
      return x >= left && y >= top && x <= left + width && y <= top + height;
    });
  }

  /** Zoom by a factor; the place under (left, top) stays there. */
  zoom(factor, left = this.box.left + this.box.width / 2, top = this.box.top + this.box.height / 2) {
    const [x, y] = this.at(left, top);
    this.view.zoom = Math.min(MOST_ZOOM, Math.max(1, this.view.zoom * factor));
    const [now, there] = this.at(left, top);
    this.shift(x - now, y - there);
  }

  shift(x, y) {
    const clamp = (value) => Math.min(1, Math.max(0, value));
    this.view.x = this.view.zoom === 1 ? 0.5 : clamp(this.view.x + x);
    this.view.y = this.view.zoom === 1 ? 0.5 : clamp(this.view.y + y);
    this.hover(null);
    this.redraw();
  }

  whole() {
    this.view = { x: 0.5, y: 0.5, zoom: 1 };
    this.shift(0, 0);
  }

  /** Show the part that holds these points. */
  show(points) {
    const range = (values) => [Math.min(...values), Math.max(...values)];
    const [[left, right], [low, high]] = [range(points.map((one) => one.x)), range(points.map((one) => one.y))];
    const { box, unit } = this;
    const fits = Math.min(box.width / unit.x / (right - left + 0.02), box.height / unit.y / (high - low + 0.02)) * 0.85;
    this.view = { x: (left + right) / 2, y: (low + high) / 2, zoom: Math.min(MOST_ZOOM, Math.max(1, fits)) };
    this.shift(0, 0);
  }

  arm(on) {
    this.armed = on;
    this.lassoing.setAttribute("aria-pressed", String(on));
    this.canvas.classList.toggle("lasso", on);
    this.redraw();
  }

  select(ids) {
    this.selected = new Set(ids);
    this.redraw();
  }

  /** Show the tip of what was hit, or none. */
  hover(found) {
    const point = found?.point ?? null;
    if (point === (this.hovered ?? null)) return;
    this.hovered = point;
    this.canvas.classList.toggle("over", point !== null);
    this.tip.hidden = point === null;
    if (point) {
      this.tip.replaceChildren(this.tell(point));
      const { offsetWidth: width, offsetHeight: height } = this.tip;
      const left = found.x + 40 + width > this.size.width ? found.x - 40 - width : found.x + 40;
      this.tip.style.left = `${Math.max(4, Math.min(this.size.width - width - 4, left))}px`;
      this.tip.style.top = `${Math.max(4, Math.min(this.size.height - height - 4, found.y - height / 2))}px`;
    }
    this.redraw();
  }

  save() {
    try {
      this.canvas.toBlob((blob) => {
        const address = URL.createObjectURL(blob);
        h("a", { href: address, download: `${this.name}.png` }).click();
        setTimeout(() => URL.revokeObjectURL(address), 10_000);
      });
    } catch {
      // Files are strangers to each other: what was drawn of them cannot be read again.
      say("A browser saves no picture of a page that is opened from a disk. Take a screenshot, or serve the folder.");
    }
  }
}
