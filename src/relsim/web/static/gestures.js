// What fingers, mice and keys do on a plane: pan, zoom, hover, click, lasso.

/** How much a key or a button zooms. */
export const STEP = 1.4;
const STILL = 5; // pixels that a click may move

export class Gestures {
  constructor(plane) {
    this.plane = plane;
    this.pointers = new Map();
    this.rope = null;
    const { canvas } = plane;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.moved(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", (event) => this.cancel(event));
    canvas.addEventListener("pointerleave", (event) => this.left(event));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  /** A mouse that leaves for the tip keeps it; a finger that is lifted leaves it there. */
  left(event) {
    if (event.pointerType === "mouse") this.plane.hover(null);
  }

  place(event) {
    const box = this.plane.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event) {
    if (event.button !== 0) return;
    this.plane.canvas.setPointerCapture(event.pointerId);
    const [x, y] = this.place(event);
    this.pointers.set(event.pointerId, { x, y });
    this.begun = { x, y, still: this.pointers.size === 1 };
    this.rope = this.pointers.size === 1 && (this.plane.armed || event.shiftKey) ? [[x, y]] : null;
  }

  moved(event) {
    const [x, y] = this.place(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse") this.plane.hover(this.plane.hit(x, y));
      return;
    }
    if (Math.hypot(x - this.begun.x, y - this.begun.y) > STILL) this.begun.still = false;
    const { unit, view } = this.plane;
    if (this.rope) {
      this.rope.push([x, y]);
      this.plane.redraw();
    } else if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const apart = (one) => Math.max(1, Math.hypot(one.x - other.x, one.y - other.y));
      this.plane.zoom(apart({ x, y }) / apart(before), (x + other.x) / 2, (y + other.y) / 2);
      this.plane.shift((before.x - x) / 2 / (view.zoom * unit.x), (y - before.y) / 2 / (view.zoom * unit.y));
    } else if (!this.begun.still) this.plane.shift((before.x - x) / (view.zoom * unit.x), (y - before.y) / (view.zoom * unit.y));
    this.pointers.set(event.pointerId, { x, y });
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (this.rope) {
      const rope = this.rope;
      this.rope = null;
      this.plane.arm(false);
      if (rope.length > 2) this.plane.caught(this.plane.points.filter((point) => inside(this.plane.to(point.x, point.y), rope)));
      this.plane.redraw();
    } else if (this.begun.still) {
      const [x, y] = this.place(event);
      const found = this.plane.hit(x, y);
      // A finger cannot hover: its first tap tells, and the tip has the link.
      if (found && event.pointerType === "mouse") this.plane.pick(found.point);
      else this.plane.hover(found);
    }
  }

  cancel(event) {
    this.pointers.delete(event.pointerId);
    this.rope = null;
    this.plane.redraw();
  }

  wheel(event) {
    if (this.plane.view.zoom === 1 && event.deltaY > 0) return; // all is in sight: the page scrolls on
    event.preventDefault();
    const [x, y] = this.place(event);
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.plane.zoom(Math.exp(-Math.max(-120, Math.min(120, event.deltaY * lines)) / 400), x, y);
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const far = 0.12 / this.plane.view.zoom;
    const does = {
      "+": () => this.plane.zoom(STEP),
      "=": () => this.plane.zoom(STEP),
      "-": () => this.plane.zoom(1 / STEP),
      0: () => this.plane.whole(),
      Home: () => this.plane.whole(),
      ArrowLeft: () => this.plane.shift(-far, 0),
      ArrowRight: () => this.plane.shift(far, 0),
      ArrowUp: () => this.plane.shift(0, far),
      ArrowDown: () => this.plane.shift(0, -far),
      Escape: () => (this.plane.arm(false), this.plane.hover(null), this.plane.caught([])),
    }[event.key];
    if (!does) return;
    event.preventDefault();
    does();
  }
}

/** Whether a place lies within a closed line (even-odd rule). */
function inside([x, y], line) {
  let within = false;
  for (let i = 0, j = line.length - 1; i < line.length; j = i++) {
    const [[ax, ay], [bx, by]] = [line[i], line[j]];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) within = !within;
  }
  return within;
}
