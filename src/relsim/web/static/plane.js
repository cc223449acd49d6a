// A plane of pictures on a canvas: zoom (wheel, pinch, buttons, keys), pan, hover, click, lasso, PNG.

import { h, say } from "./dom.js";
import { Gestures, STEP } from "./gestures.js";
import { Marks, picture, Thumbnails } from "./marks.js";
import { Cloud } from "./points.js";

const MOST_ZOOM = 200;
const EDGE = 52; // pixels beside the outermost points, in all
const NEAR = 14; // pixels from a mark that still hit it
const BACK = 0.25; // of the colour of what steps back

/**
 * Points are `{id, x, y, group}` with x and y from 0 to 1, y upwards, the most important first.
 * `ground(context, plane)` draws what lies below, `above` what lies on top; `tell(point)` gives what the tip says of a
 * point; `pick(point)` is called at a click, `caught(points)` at the end of a lasso. `square` keeps both scales alike.
 */
export class Plane {
  constructor({ points, label, help, ground = () => {}, above = () => {}, tell, pick, caught, square = false, pad, name }) {
    Object.assign(this, { points, ground, above, tell, pick, caught, square, pad, name });
    this.view = { x: 0.5, y: 0.5, zoom: 1 };
    this.cloud = new Cloud(points);
    this.selected = new Set();
    this.chosen = new Uint8Array(points.length); // 1 for each that is selected
    this.hovered = -1; // number of a point
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
    this.stamps = new Marks(this.canvas, ratio, this.colours);
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
    const { size, box, canvas, colours, view } = this;
    // What is set anew is looked at anew, in each frame.
    if (canvas.dataset.zoom !== view.zoom.toFixed(2)) canvas.dataset.zoom = view.zoom.toFixed(2);
    // A finger moves the page while there is nothing to move here.
    const touch = view.zoom === 1 && !this.armed ? "pan-y" : "none";
    if (canvas.style.touchAction !== touch) canvas.style.touchAction = touch;
    const context = canvas.getContext("2d", { alpha: false });
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

  /** Pictures where no earlier one is in the way, marks for the others. */
  drawPoints(context) {
    const { box, cloud, view, stamps } = this;
    const { counts } = cloud;
    const side = Math.min(96, (box.width < 600 ? 34 : 46) * (1 + Math.log2(view.zoom) / 4));
    this.side = side;
    cloud.lay(this, side);
    const chosen = this.selected.size ? this.chosen : null;
    stamps.draw(context, cloud, cloud.back, counts.back, chosen, BACK);
    stamps.draw(context, cloud, cloud.front, counts.front, chosen);
    for (const one of cloud.shown.subarray(0, counts.shown)) this.drawPicture(context, one, side);
    if (this.hovered >= 0) this.drawPicture(context, this.hovered, Math.max(side, 64));
  }

  drawPicture(context, one, side) {
    const { cloud, colours } = this;
    const point = this.points[one];
    const strong = one === this.hovered || this.chosen[one] === 1;
    picture(context, this.pictures.of(point.id), cloud.left[one], cloud.top[one], side - 6, {
      frame: strong ? colours.accent : (point.frame ?? colours.line),
      paper: colours.paper,
      width: strong ? 4 : point.frame ? 3 : 1,
    });
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

  /** The point at a place of the canvas, with where it is there: a picture, else the nearest mark; null if none is. */
  hit(x, y) {
    const { box, cloud } = this;
    if (!this.side || x < box.left || y < box.top || x > box.left + box.width || y > box.top + box.height) return null;
    const number = cloud.at(x, y, this.side, NEAR);
    return number < 0 ? null : { number, point: this.points[number], x: cloud.left[number], y: cloud.top[number] };
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
    const range = (axis) => points.reduce(([least, most], one) => [Math.min(least, one[axis]), Math.max(most, one[axis])], [1, 0]);
    const [[left, right], [low, high]] = [range("x"), range("y")];
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
    this.points.forEach((point, number) => (this.chosen[number] = this.selected.has(point.id) ? 1 : 0));
    this.redraw();
  }

  /** Show the tip of what was hit, or none. */
  hover(found) {
    const number = found?.number ?? -1;
    if (number === this.hovered) return;
    this.hovered = number;
    this.canvas.classList.toggle("over", number >= 0);
    this.tip.hidden = number < 0;
    if (found) {
      this.tip.replaceChildren(this.tell(found.point));
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
