// What is drawn for a picture on a plane: its thumbnail where there is room, else a mark whose shape tells its group.

import { thumbnail } from "./api.js";
import { arrived, h } from "./dom.js";

const SIDE = 96;
const AT_ONCE = 8;
const KEPT = 1500;
const MANY = 4000; // from so many marks in sight, small squares have to do

/** Colours of Okabe and Ito (2008), which people with colour-blindness tell apart; a shape goes with each. */
export const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7f7f7f"];
const SHAPES = [
  "M1 0A1 1 0 1 1-1 0A1 1 0 1 1 1 0Z",
  "M-.9-.9H.9V.9H-.9Z",
  "M0-1.1L1.05.8H-1.05Z",
  "M0-1.2L1.2 0L0 1.2L-1.2 0Z",
  "M0 1.1L1.05-.8H-1.05Z",
  "M-.4-1.1H.4V-.4H1.1V.4H.4V1.1H-.4V.4H-1.1V-.4H-.4Z",
  "M0-1.1L1.05-.34L.65.89H-.65L-1.05-.34Z",
  "M-1.1-.55L-.55-1.1L0-.55L.55-1.1L1.1-.55L.55 0L1.1.55L.55 1.1L0 .55L-.55 1.1L-1.1.55L-.55 0Z",
];
const paths = SHAPES.map((shape) => new Path2D(shape));

/** Colour and shape of a group: no two of the first 64 share both, and neighbours share neither. */
export const look = (group) => ({
  colour: COLOURS[group % COLOURS.length],
  shape: SHAPES[(group + Math.floor(group / COLOURS.length)) % SHAPES.length],
});

/** Draw the mark of a group with radius `size` at (x, y). */
function mark(context, group, x, y, size, ink) {
  const { colour, shape } = look(group);
  context.translate(x, y);
  context.scale(size, size);
  context.fillStyle = colour;
  context.strokeStyle = ink;
  context.lineWidth = 1.2 / size;
  const path = paths[SHAPES.indexOf(shape)];
  context.fill(path);
  context.stroke(path);
}

/**
 * Marks of many points, pixel by pixel: a canvas that is asked to draw each by itself takes many times as long. A mark
 * is drawn once and then copied, to whole pixels.
 */
export class Marks {
  /** For a canvas of this size; `ratio` is how many of its pixels make one of the page. */
  constructor({ width, height }, ratio, { ink, accent }) {
    Object.assign(this, { width, height, ratio, ink, accent, large: [], small: [], rings: [] });
    this.canvas = h("canvas", { width, height });
    this.context = this.canvas.getContext("2d");
    this.image = this.context.createImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer); // red first in memory: alpha is the highest byte
  }

  /** Draw marks of the first `many` of `some` points of a cloud; the chosen ones (1 for each) are told apart. */
  draw(context, { group, left, top }, some, many, chosen, alpha = 1) {
    if (!many) return;
    const small = many >= MANY;
    this.pixels.fill(0);
    for (let place = 0; place < many; place++) {
      const one = some[place];
      this.put(small ? this.square(group[one] % COLOURS.length) : this.mark(group[one]), left[one], top[one]);
    }
    for (let place = 0; chosen && place < many; place++) {
      const one = some[place];
      if (chosen[one]) this.put(this.ring(small), left[one], top[one]);
    }
    this.context.putImageData(this.image, 0, 0);
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalAlpha = alpha;
    context.drawImage(this.canvas, 0, 0);
    context.restore();
  }

  square(colour) {
    return (this.small[colour] ??= this.stamp(3, (context, side) => {
      context.fillStyle = COLOURS[colour];
      context.fillRect(0, 0, side, side);
    }));
  }

  mark(group) {
    return (this.large[group] ??= this.stamp(12, (context, side) => mark(context, group, side / 2, side / 2, 4 * this.ratio, this.ink)));
  }

  /** What lies around the mark of one that is chosen, or over a small one. */
  ring(small) {
    return (this.rings[Number(small)] ??= this.stamp(small ? 5 : 17, (context, side) => {
      const edge = 3 * this.ratio;
      context.fillStyle = this.accent;
      context.fillRect(0, 0, side, side);
      if (!small) context.clearRect(edge, edge, side - 2 * edge, side - 2 * edge);
    }));
  }

  /** What `drawn` draws on a canvas of about `side` pixels of the page, as pixels. */
  stamp(wanted, drawn) {
    const side = Math.ceil(wanted * this.ratio);
    const context = h("canvas", { width: side, height: side }).getContext("2d", { willReadFrequently: true });
    drawn(context, side);
    return { side, from: new Uint32Array(context.getImageData(0, 0, side, side).data.buffer) };
  }

  /** Copy a stamp to around a place, which is given in pixels of the page. */
  put(stamp, x, y) {
    const { side, from } = stamp;
    const { width, pixels } = this;
    const left = Math.round(x * this.ratio - side / 2);
    const top = Math.round(y * this.ratio - side / 2);
    const first = Math.max(0, -left);
    const last = Math.min(side, width - left);
    const end = Math.min(side, this.height - top);
    for (let row = Math.max(0, -top); row < end; row++) {
      let source = row * side + first;
      let target = (top + row) * width + left + first;
      for (let column = first; column < last; column++, source++, target++) {
        const pixel = from[source];
        const alpha = pixel >>> 24;
        if (alpha === 255) pixels[target] = pixel;
        else if (alpha) pixels[target] = over(pixel, pixels[target], alpha);
      }
    }
  }
}

/** One pixel over another. */
function over(pixel, below, alpha) {
  if (!below) return pixel;
  const rest = 255 - alpha;
  let mixed = (alpha + ((below >>> 24) * rest) / 255) << 24;
  for (const at of [0, 8, 16]) mixed |= ((((pixel >>> at) & 255) * alpha + ((below >>> at) & 255) * rest) / 255) << at;
  return mixed >>> 0;
}

/** Small pictures by id, a few at a time, those asked for last first; `ready` is called when some have come. */
export class Thumbnails {
  constructor(ready) {
    Object.assign(this, { ready, known: new Map(), waiting: [], under: 0 });
  }

  /** The picture of an id if it is here, false if it cannot be shown, else null, and it is sent for. */
  of(id) {
    const found = this.known.get(id);
    if (found !== undefined) return found;
    this.known.set(id, null);
    this.waiting.push(id);
    return null;
  }

  /** Send for what is asked for; to be called when all of a drawing is. */
  fetch() {
    while (this.under < AT_ONCE && this.waiting.length) this.one(this.waiting.pop());
    for (const id of this.waiting.splice(0)) this.known.delete(id); // asked for again if it is still in sight
    for (const id of this.known.keys()) {
      if (this.known.size <= KEPT) break;
      if (this.known.get(id)) this.known.delete(id);
    }
  }

  async one(id) {
    this.under += 1;
    try {
      this.known.set(id, await arrived(thumbnail({ id }, SIDE)));
    } catch {
      this.known.set(id, false);
    }
    this.under -= 1;
    this.ready();
  }
}

/** Draw a picture into the square of `side` around (x, y); a crossed square stands for one that cannot be shown. */
export function picture(context, image, x, y, side, { frame, paper, width = 1 }) {
  const [wide, high] = image ? [image.naturalWidth, image.naturalHeight] : [1, 1];
  const scale = side / Math.max(wide, high);
  const box = [x - (wide * scale) / 2, y - (high * scale) / 2, wide * scale, high * scale];
  context.fillStyle = paper;
  context.fillRect(...box);
  if (image) context.drawImage(image, ...box);
  context.strokeStyle = frame;
  context.lineWidth = width;
  context.strokeRect(...box);
  if (image === false) {
    const [left, top, across, down] = box;
    context.beginPath();
    context.moveTo(left, top);
    context.lineTo(left + across, top + down);
    context.moveTo(left + across, top);
    context.lineTo(left, top + down);
    context.stroke();
  }
}
