// Pictures that were selected on a plane: a list with captions, their ids to copy, and a search from their middle.

import { thumbnail } from "./api.js";
import { count, h, hear, say } from "./dom.js";

const MOST = 300;

/** A list of links to pictures `{id, caption}`; `to` gives the address behind one. */
export function pictures(points, to, label) {
  return h(
    "ol",
    { class: "strip", "aria-label": label },
    points.map((point) =>
      h(
        "li",
        {},
        h(
          "a",
          { href: to(point), title: point.id },
          h("img", { src: thumbnail(point, 96), alt: point.caption ? "" : point.id, loading: "lazy", width: "72", height: "72" }),
          point.caption && h("span", {}, point.caption),
        ),
      ),
    ),
  );
}

/** The address of a search with a picture. */
export const searchWith = (point) => `#/search?${new URLSearchParams({ id: point.id })}`;

export class Picked {
  /** `cleared` is called when the list is given up, `tell(points)` brings captions that are not here yet. */
  constructor({ cleared, tell = async (points) => points }) {
    Object.assign(this, { cleared, tell });
    this.element = h("section", { class: "picked", "aria-label": "Selected pictures", hidden: true });
  }

  async show(points) {
    this.points = points;
    this.element.hidden = !points.length;
    if (!points.length) {
      this.element.replaceChildren();
      return;
    }
    const told = await this.tell(points.slice(0, MOST));
    if (this.points !== points) return;
    const all = `${count(points.length)} ${points.length === 1 ? "picture" : "pictures"} selected`;
    this.element.replaceChildren(
      h("h2", {}, all),
      h(
        "p",
        { class: "plane-tools" },
        h("a", { class: "button", href: searchWith(middle(points)) }, "Search from their middle"),
        h("button", { type: "button", onclick: () => copy(points.map((point) => point.id).join("\n")) }, "Copy ids"),
        h("button", { type: "button", onclick: () => this.cleared() }, "Clear"),
      ),
      points.length > MOST ? h("p", { class: "note" }, `The first ${MOST} are listed; all ids are copied.`) : "",
      pictures(told, searchWith, "Selected pictures"),
    );
    hear(all);
  }
}

/** The one that is nearest to the middle of all of them. */
function middle(points) {
  const mean = (axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length;
  const [x, y] = [mean("x"), mean("y")];
  const far = (point) => Math.hypot(point.x - x, point.y - y);
  return points.reduce((best, point) => (far(point) < far(best) ? point : best));
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https a browser has no clipboard for scripts, but copies what is marked.
    const field = h("textarea", { class: "hidden" });
    field.value = text;
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    if (!copied) {
      say("The browser does not let this page copy.");
      return;
    }
  }
  say("The ids are copied, one a line.");
}
