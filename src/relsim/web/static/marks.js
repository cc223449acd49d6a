// What is drawn for a picture on a plane: its thumbnail where there is room, else a mark whose shape tells its group.

import { thumbnail } from "./api.js";

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

/** Draw a mark of radius `size` at (x, y). */
export function mark(context, group, x, y, size, ink) {
  const { colour, shape } = look(group);
  context.save();
  context.translate(x, y);
  context.scale(size, size);
  context.fillStyle = colour;
  context.strokeStyle = ink;
  context.lineWidth = 1.2 / size;
  const path = paths[SHAPES.indexOf(shape)];
  context.fill(path);
  context.stroke(path);
  context.restore();
}

/** Marks of many: [group, x, y] each. */
export function marks(context, all, ink) {
  if (all.length < MANY) {
    for (const [group, x, y] of all) mark(context, group, x, y, 4, ink);
    return;
  }
  for (const [group, x, y] of all) {
    context.fillStyle = COLOURS[group % COLOURS.length];
    context.fillRect(x - 1.5, y - 1.5, 3, 3);
  }
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
    const image = new Image();
    image.src = thumbnail({ id }, SIDE);
    try {
      await image.decode();
      this.known.set(id, image);
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
