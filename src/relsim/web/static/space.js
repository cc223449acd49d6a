// The similarity space of a query: how pictures look across, how they work upwards.

import { get, Refused, thumbnail } from "./api.js";
import { above, count, h, hear, score } from "./dom.js";
import { Picked, pictures, searchWith } from "./picked.js";
import { Plane } from "./plane.js";

const SCALES = [
  ["published", "0 to 1"],
  ["raw", "similarity"],
  ["percentile", "percentile"],
];
const LISTED = 8;
/** Corners with their names (Gentner and Markman, American Psychologist 52, 1997) and what they mean. */
const CORNERS = [
  ["analogy", 0, 1, "works alike, looks different"],
  ["literal similarity", 1, 1, "works and looks alike"],
  ["anomaly", 0, 0, "neither works nor looks alike"],
  ["mere appearance", 1, 0, "looks alike, works differently"],
];
const TICKS = [0, 0.25, 0.5, 0.75, 1];
const HELP =
  "Wheel, pinch or + and \u2212 zoom; dragging or arrow keys move; 0 shows all. Shift and dragging draws around pictures. " +
  "The same pictures are listed below, corner by corner.";

export class SpaceView {
  constructor(main, collection) {
    this.main = main;
    this.collection = collection;
    this.asking = new AbortController();
  }

  start(values) {
    this.head = h("section", { class: "query", "aria-label": "Query" });
    this.body = h("section", { "aria-label": "Similarity space" });
    this.main.replaceChildren(this.head, this.body);
    this.update(values);
  }

  stop() {
    this.asking.abort();
    this.plane?.stop();
  }

  async update(values) {
    this.asking.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    const scale = SCALES.some(([name]) => name === values.scale) ? values.scale : "published";
    try {
      const { id, upload } = values.id || values.upload ? values : { id: await this.any(0, signal) };
      const found = await get("/api/space", { id, upload, scale }, signal);
      this.show(found, { id, upload });
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Refused)) throw error;
      this.plane?.stop();
      this.head.replaceChildren();
      this.body.replaceChildren(h("p", { class: "empty", role: "alert" }, error.message));
    }
  }

  async any(place, signal) {
    return (await get("/api/images", { start: place, count: 1 }, signal)).images[0].id;
  }

  show(found, query) {
    const name = found.kind === "upload" ? "your picture" : found.caption || found.query;
    const address = (changed) => {
      const given = Object.entries({ ...query, scale: found.scale, ...changed }).filter(([, value]) => value !== undefined);
      return `#/space?${new URLSearchParams(given)}`;
    };
    const focused = this.head.contains(document.activeElement) && document.activeElement.textContent;
    this.head.replaceChildren(
      h(
        "div",
        { class: "asking" },
        h("figure", { class: "asked" }, h("img", { src: thumbnail(query, 384), alt: `The query: ${name}` }), h("figcaption", {}, name)),
        h(
          "div",
          { class: "how" },
          h("h1", {}, "What stands where around this picture"),
          h(
            "p",
            { class: "note" },
            found.points.length < found.collection
              ? `${count(found.points.length)} pictures, drawn from ${count(found.collection)}.`
              : `All ${count(found.points.length)} other pictures.`,
            " Click one to search on with it.",
          ),
          h(
            "div",
            { class: "scales", role: "group", "aria-label": "What the axes show" },
            h("span", { class: "note" }, "Axes"),
            SCALES.map(([value, text]) =>
              h("a", { class: "button small", href: address({ scale: value }), "aria-current": value === found.scale ? "true" : null }, text),
            ),
          ),
          h(
            "p",
            { class: "links" },
            h("a", { href: `#/search?${new URLSearchParams(Object.entries(query).filter(([, value]) => value))}` }, "Search with it"),
            h("button", { type: "button", class: "small", onclick: () => this.another() }, "Another picture"),
          ),
        ),
      ),
    );
    if (focused) [...this.head.querySelectorAll("a, button")].find((link) => link.textContent === focused)?.focus();
    this.plane?.stop();
    this.picked = new Picked({ cleared: () => this.caught([]) });
    this.plane = new Plane({
      points: found.points,
      label: `Similarity space of ${name}: look across, logic upwards`,
      help: HELP,
      name: "similarity-space",
      pad: (width) => (width < 600 ? { left: 50, right: 8, top: 26, bottom: 62 } : { left: 58, right: 14, top: 30, bottom: 74 }),
      ground: (context, plane) => ground(context, plane, found),
      tell: (point) => this.tell(point),
      pick: (point) => (location.hash = searchWith(point)),
      caught: (points) => this.caught(points),
    });
    this.body.replaceChildren(
      this.plane.element,
      this.picked.element,
      h("h2", {}, "Nearest to each corner"),
      h(
        "div",
        { class: "corners" },
        CORNERS.map(([corner, x, y, text]) => {
          const far = (point) => Math.hypot(point.x - x, point.y - y);
          const all = found.points.filter((point) => point.quadrant === corner);
          const nearest = [...all].sort((one, other) => far(one) - far(other)).slice(0, LISTED);
          return h(
            "section",
            {},
            h("h3", {}, corner, " ", h("span", { class: "note" }, `${text}; ${count(all.length)}`)),
            nearest.length ? pictures(nearest, searchWith, `Nearest to ${corner}`) : h("p", { class: "note" }, "No picture is here."),
          );
        }),
      ),
    );
    this.plane.start();
    hear(`${count(found.points.length)} pictures around ${name}`);
  }

  caught(points) {
    this.plane.select(points.map((point) => point.id));
    this.picked.show(points);
  }

  async another() {
    const place = Math.floor(Math.random() * this.collection.images);
    location.hash = `#/space?${new URLSearchParams({ id: await this.any(place, this.asking.signal) })}`;
  }

  tell(point) {
    const line = (label, value, percentile) =>
      h("span", {}, `${label} ${score(value)}`, h("span", { class: "note" }, ` above ${above(percentile)}`));
    return h(
      "div",
      {},
      h("img", { src: thumbnail(point, 192), alt: "" }),
      h("span", {}, point.caption || point.id),
      line("logic", point.relation, point.relation_percentile),
      line("look", point.look, point.look_percentile),
      h("a", { href: searchWith(point) }, "Search with it"),
      h("a", { href: `#/space?${new URLSearchParams({ id: point.id })}` }, "Its space"),
    );
  }
}

/** Quadrants with their names, and both axes with ticks. */
function ground(context, plane, found) {
  const { box, colours } = plane;
  const [left, top, right, bottom] = [box.left, box.top, box.left + box.width, box.top + box.height];
  context.strokeStyle = colours.line;
  context.lineWidth = 1;
  context.strokeRect(left, top, box.width, box.height);
  const [x, y] = plane.to(0.5, 0.5);
  context.setLineDash([6, 4]);
  context.strokeStyle = colours.soft;
  context.beginPath();
  if (x > left && x < right) context.moveTo(x, top), context.lineTo(x, bottom);
  if (y > top && y < bottom) context.moveTo(left, y), context.lineTo(right, y);
  context.stroke();
  context.setLineDash([]);
  context.fillStyle = colours.ink;
  const small = box.width < 600;
  context.font = `600 ${small ? 12 : 14}px system-ui, sans-serif`;
  for (const [name, across, up] of CORNERS) {
    context.textAlign = across ? "right" : "left";
    context.textBaseline = up ? "bottom" : "top";
    context.fillText(name, across ? right : left, up ? top - 7 : bottom + 26);
  }
  context.font = `${small ? 11 : 12}px system-ui, sans-serif`;
  context.fillStyle = colours.soft;
  for (const share of TICKS) {
    const [across] = plane.to(share, 0);
    const [, up] = plane.to(0, share);
    context.textAlign = "center";
    context.textBaseline = "top";
    const inside = Math.min(across, plane.size.width - 18);
    if (across >= left - 1 && across <= right + 1) context.fillText(tick(found.scale, found.x, share), inside, bottom + 6);
    context.textAlign = "right";
    context.textBaseline = "middle";
    if (up >= top - 1 && up <= bottom + 1) context.fillText(tick(found.scale, found.y, share), left - 6, up);
  }
  context.textAlign = "center";
  context.textBaseline = "top";
  context.fillText(title("look", found.x, found.scale, small), (left + right) / 2, bottom + (small ? 44 : 48), box.width);
  context.save();
  context.translate(small ? 2 : 8, (top + bottom) / 2);
  context.rotate(-Math.PI / 2);
  context.fillText(title("logic", found.y, found.scale, small), 0, 0, box.height);
  context.restore();
}

function tick(scale, axis, share) {
  if (scale === "raw") return score(axis.low + share * (axis.high - axis.low));
  return scale === "percentile" ? String(Math.round(100 * share)) : share.toFixed(2);
}

function title(name, axis, scale, small) {
  const by = small ? "" : ` (${axis.name})`;
  if (scale === "percentile") return `alike in ${name}${by}: % of ${axis.percentile_of} below \u2192`;
  return scale === "raw" ? `alike in ${name}${by} \u2192` : `alike in ${name}${by}, ${score(axis.low)} to ${score(axis.high)} \u2192`;
}
