// The points of a plane in numbers: where each is in sight, and which of them have room for their picture.

const MOST = 1000; // pictures; a canvas is no larger

export class Cloud {
  constructor(points) {
    const many = points.length;
    this.many = many;
    this.x = Float64Array.from(points, (one) => one.x);
    this.y = Float64Array.from(points, (one) => one.y);
    this.group = Uint16Array.from(points, (one) => one.group ?? 0);
    this.left = new Float32Array(many);
    this.top = new Float32Array(many);
    // Numbers of the points in sight: with their picture, as a mark, and as a mark that steps back.
    this.shown = new Uint32Array(Math.min(many, MOST));
    this.front = new Uint32Array(many);
    this.back = new Uint32Array(many);
    this.counts = { shown: 0, front: 0, back: 0 };
  }

  /**
   * Lay the points out on the box of a plane. Pictures of `side` pixels are shown where none of an earlier point is in
   * the way, marks for the others; points of other groups than `plane.only`, if that is one, step back.
   */
  lay({ box, unit, view, only }, side) {
    const { x, y, group, left, top, counts } = this;
    const [across, up] = [view.zoom * unit.x, view.zoom * unit.y];
    const [begin, low] = [box.left + box.width / 2 - view.x * across, box.top + box.height / 2 + view.y * up];
    // What is a picture's side beyond the box may still reach into it.
    const [least, first] = [box.left - side, box.top - side];
    const [most, last] = [box.left + box.width + side, box.top + box.height + side];
    // Two pictures in one square would overlap, so that each holds one at most; squares around all spare the edges.
    const columns = Math.ceil((most - least) / side) + 3;
    const taken = new Int32Array(columns * (Math.ceil((last - first) / side) + 3)).fill(-1);
    counts.shown = counts.front = counts.back = 0;
    for (let one = 0; one < this.many; one++) {
      const a = begin + x[one] * across;
      const b = low - y[one] * up;
      if (a < least || a > most || b < first || b > last) continue;
      left[one] = a;
      top[one] = b;
      if (only !== null && group[one] !== only) {
        this.back[counts.back++] = one;
        continue;
      }
      const square = (Math.floor((b - first) / side) + 1) * columns + Math.floor((a - least) / side) + 1;
      if (counts.shown < this.shown.length && this.isFree(taken, square, columns, a, b, side)) {
        taken[square] = one;
        this.shown[counts.shown++] = one;
      } else this.front[counts.front++] = one;
    }
  }

  isFree(taken, square, columns, a, b, side) {
    if (taken[square] >= 0) return false;
    for (let row = square - columns; row <= square + columns; row += columns) {
      for (let at = row - 1; at <= row + 1; at++) {
        const other = taken[at];
        if (other >= 0 && Math.abs(this.left[other] - a) < side && Math.abs(this.top[other] - b) < side) return false;
      }
    }
    return true;
  }

  /** The point whose picture of `side` pixels is at a place, else the one whose mark is nearest within `near`, else -1. */
  at(a, b, side, near) {
    const { left, top, counts } = this;
    for (let place = 0; place < counts.shown; place++) {
      const one = this.shown[place];
      if (Math.abs(left[one] - a) <= side / 2 && Math.abs(top[one] - b) <= side / 2) return one;
    }
    let best = -1;
    let least = near * near;
    for (const [some, many] of [[this.back, counts.back], [this.front, counts.front]]) {
      for (let place = 0; place < many; place++) {
        const one = some[place];
        const far = (left[one] - a) ** 2 + (top[one] - b) ** 2;
        if (far < least) [best, least] = [one, far];
      }
    }
    return best;
  }
}
