// The map of the collection: pictures that work alike lie together, in groups that bear captions.

import { get, Refused, thumbnail } from "./api.js";
import { count, h, hear } from "./dom.js";
import { look } from "./marks.js";
import { Picked, pictures, searchWith } from "./picked.js";
import { Plane } from "./plane.js";

const AGAIN = 700; // milliseconds between two looks at a map that is being made
const AT_ONCE = 1000;
const HELP =
  "Wheel, pinch or + and \u2212 zoom; dragging or arrow keys move; 0 shows all. Shift and dragging draws around pictures. " +
  "The groups are listed beside the map, with the pictures nearest to their middle.";

export class MapView {
  constructor(main, collection) {
    this.main = main;
    this.collection = collection;
    this.asking = new AbortController();
    this.captions = new Map();
  }

  async start() {
    this.body = h("section", { class: "map", "aria-label": "Map" });
    this.main.replaceChildren(
      h(
        "div",
        { class: "lead" },
        h("h1", {}, "The collection at a glance"),
        h("p", {}, "What lies together works alike. Distances between far groups mean little. Click a picture to search on with it."),
      ),
      this.body,
    );
    try {
      this.show(await this.made());
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Refused)) throw error;
      this.body.replaceChildren(h("p", { class: "empty", role: "alert" }, error.message));
    }
  }

  update() {}

  stop() {
    this.asking.abort();
    clearTimeout(this.waiting);
    this.plane?.stop();
  }

  /** The map, once it is made. */
  async made() {
    const bar = h("progress", { max: "5", "aria-label": "Making the map" });
    const text = h("p", { class: "note" });
    let step = 0;
    for (;;) {
      const found = await get("/api/map", {}, this.asking.signal);
      if (!found.steps) return found;
      if (!step) this.body.replaceChildren(h("div", { class: "making" }, h("h2", {}, "The map is being made"), bar, text));
      text.textContent = `Step ${found.step} of ${found.steps}: ${found.doing}. ${Math.round(found.seconds)} s so far; it is kept for the next time.`;
      if (found.step !== step) hear(`Making the map: ${found.doing}`);
      step = found.step;
      bar.max = found.steps;
      bar.value = step - 0.5;
      await new Promise((done) => (this.waiting = setTimeout(done, AGAIN)));
    }
  }

  show(found) {
    const points = found.ids.map((id, place) => {
      const group = found.group[place];
      return { id, place, x: found.x[place], y: found.y[place], group, frame: look(group).colour };
    });
    const places = new Map(found.ids.map((id, place) => [id, place]));
    this.points = points;
    this.groups = found.groups;
    this.picked = new Picked({ cleared: () => this.caught([]), tell: (some) => this.withCaptions(some) });
    this.plane = new Plane({
      points: spread(points),
      label: `Map of ${count(points.length)} pictures in ${found.groups.length} groups`,
      help: HELP,
      name: "map",
      square: true,
      above: (context, plane) => badges(context, plane, found.groups),
      tell: (point) => this.tell(point),
      pick: (point) => (location.hash = searchWith(point)),
      caught: (some) => this.caught(some),
    });
    this.list = h(
      "ol",
      { class: "map-groups", "aria-label": "Groups" },
      found.groups.map((group, number) => {
        const holder = h("div", {});
        const details = h("details", { ontoggle: () => details.open && this.fill(holder, group, places) }, h("summary", {}, "Nearest to its middle"), holder);
        return h("li", {}, this.button(group, number), details);
      }),
    );
    this.body.replaceChildren(this.plane.element, h("section", { "aria-label": "Groups" }, h("h2", {}, "Groups"), this.list), this.picked.element);
    this.plane.start();
    hear(`A map of ${count(points.length)} pictures in ${found.groups.length} groups`);
  }

  button(group, number) {
    const { colour, shape } = look(number);
    return h(
      "button",
      { type: "button", class: "map-group", "aria-pressed": "false", onclick: () => this.choose(this.plane.only === number ? null : number) },
      h("svg", { viewBox: "-1.4 -1.4 2.8 2.8", width: "20", height: "20", "aria-hidden": "true", class: "swatch" }, h("path", { d: shape, fill: colour })),
      h("span", {}, `${number + 1}. ${group.label || "Pictures without an anonymous caption"}`),
      h("span", { class: "note" }, count(group.size)),
    );
  }

  /** Bring one group to the fore, or all. */
  choose(number) {
    this.plane.only = number;
    for (const [place, button] of [...this.list.querySelectorAll("button")].entries())
      button.setAttribute("aria-pressed", String(place === number));
    if (number === null) this.plane.whole();
    else this.plane.show(this.points.filter((point) => point.group === number));
  }

  async fill(holder, group, places) {
    if (holder.firstChild) return;
    const some = group.nearest.slice(0, 6).map((id) => this.points[places.get(id)]);
    holder.replaceChildren(pictures(await this.withCaptions(some), searchWith, "Nearest to the middle"));
  }

  caught(points) {
    this.plane.select(points.map((point) => point.id));
    this.picked.show(points);
  }

  /** The same points with their captions; those of neighbours in the collection come along. */
  async withCaptions(points) {
    for (const { place } of points) {
      if (this.captions.has(place)) continue;
      const start = Math.floor(place / AT_ONCE) * AT_ONCE;
      try {
        const page = await get("/api/images", { start, count: AT_ONCE }, this.asking.signal);
        page.images.forEach((image, index) => this.captions.set(start + index, image.caption));
      } catch (error) {
        if (error.name === "AbortError") return [];
        break; // ids have to do
      }
    }
    return points.map((point) => ({ ...point, caption: this.captions.get(point.place) }));
  }

  tell(point) {
    const caption = h("span", {}, this.captions.get(point.place) || point.id);
    if (!this.captions.has(point.place))
      this.withCaptions([point]).then(([told]) => (caption.textContent = told?.caption || point.id));
    return h(
      "div",
      {},
      h("img", { src: thumbnail(point, 192), alt: "" }),
      caption,
      h("span", { class: "note" }, `group ${point.group + 1}`),
      h("a", { href: searchWith(point) }, "Search with it"),
    );
  }
}

/** In an order in which every part of the map has its turn, so that the pictures shown are not of one part alone. */
function spread(points) {
  const turn = (place) => (place * 0.618033988749895) % 1;
  return [...points].sort((one, other) => turn(one.place) - turn(other.place));
}

/** The number of each group, beside the picture at its middle. */
function badges(context, plane, groups) {
  const { colours } = plane;
  const size = plane.size.width < 600 ? 9 : 12;
  context.font = `700 ${size + 1}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const [number, group] of groups.entries()) {
    if (plane.only !== null && plane.only !== number) continue;
    const [x, y] = plane.to(group.x, group.y).map((place) => place - 16); // the picture there stays in sight
    context.beginPath();
    context.arc(x, y, size, 0, 2 * Math.PI);
    context.fillStyle = colours.paper;
    context.fill();
    context.strokeStyle = colours.ink;
    context.lineWidth = 2;
    context.stroke();
    context.fillStyle = colours.ink;
    context.fillText(String(number + 1), x, y + 0.5);
  }
}
