// Why two pictures are alike: two heat maps over each, and the captions that are near.

import { get } from "./api.js";
import { arrived, h, score } from "./dom.js";

const SIDE = 480; // pixels of a drawn picture
const OPACITY = 0.62;
// Viridis of matplotlib at even steps: its lightness rises evenly. Purple, white and orange as ColorBrewer's PuOr.
const AMOUNT = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const CHANGE = [[84, 39, 136], [178, 171, 210], [247, 247, 247], [253, 184, 99], [179, 88, 6]];
const PARTS = [["upper", "middle", "lower"], ["left", "centre", "right"]];

/**
 * Fill `place` with the reasons; `pictures` are `{src, name}` of the query and the other, as they are shown above. Returns
 * what the server told, or null where it could not.
 */
export async function why(place, query, image, pictures, signal) {
  place.tabIndex = -1; // the button that was pressed goes: the keyboard stays here, and scrolls
  place.focus({ preventScroll: true });
  place.replaceChildren(h("p", { class: "note", role: "status" }, "Looking into the model \u2026 it takes some seconds."));
  let found;
  let drawn;
  try {
    [found, ...drawn] = await Promise.all([
      get("/api/explain", { other: image.id, id: query.id, upload: query.upload }, signal),
      ...pictures.map(({ src }) => arrived(src)),
    ]);
  } catch (error) {
    if (error.name !== "AbortError") place.replaceChildren(h("p", { class: "warning", role: "alert" }, error.message));
    return null;
  }
  const most = (name) => Math.max(1e-6, ...found.pictures.flatMap((one) => one[name].flat().map(Math.abs)));
  const [looks, falls] = [most("attention"), most("occlusion")];
  const row = (name, title, note, colour, legend) => [
    h("h3", {}, title, h("span", { class: "note" }, ` ${note}`)),
    h(
      "div",
      { class: "two" },
      found.pictures.map((one, index) =>
        h("figure", {}, overlay(drawn[index], one, name, colour, `${title}, ${pictures[index].name}: most in the ${where(one[name])}`)),
      ),
    ),
    legend,
  ];
  const [first, second] = found.pictures;
  place.replaceChildren(
    ...[
      ...row("attention", "Where it looks", "attention of the query token", (value) => at(AMOUNT, value / looks), scale(AMOUNT, "none", `${looks.toFixed(1)} times an even spread`)),
      ...row(
        "occlusion",
        "What the logic score depends on",
        "how it changes where a patch is covered",
        (value) => at(CHANGE, (value / falls + 1) / 2),
        scale(CHANGE, `rises by ${falls.toFixed(2)}`, `falls by ${falls.toFixed(2)}`),
      ),
      h("h3", {}, "Captions", h("span", { class: "note" }, ` the nearest of ${found.captions}: those of their neighbours here, and some that come along with relsim`)),
      h(
        "dl",
        { class: "near" },
        near("both", found.shared),
        near("the query", found.first),
        near("the other", found.second),
      ),
      first.sentence && [h("h3", {}, "What the captioner says"), h("div", { class: "two" }, [first, second].map(said))],
      h("p", { class: "note" }, trust(first, second)),
    ]
      .flat()
      .filter(Boolean),
  );
  return found;
}

/** A picture in grey with a map over the part that the model sees. */
function overlay(image, explained, name, colour, label) {
  const { width, height, seen } = explained;
  const ratio = SIDE / Math.max(width, height);
  const canvas = h("canvas", { role: "img", "aria-label": label, class: "heat" });
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  const context = canvas.getContext("2d");
  context.filter = "grayscale(1)";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  context.filter = "none";
  context.globalAlpha = OPACITY;
  const rows = explained[name];
  const [left, top, right, bottom] = seen.map((share, index) => share * (index % 2 ? canvas.height : canvas.width));
  const edge = (from, to, part, parts) => Math.round(from + ((to - from) * part) / parts);
  rows.forEach((cells, row) =>
    cells.forEach((value, column) => {
      const [x, y] = [edge(left, right, column, cells.length), edge(top, bottom, row, rows.length)];
      context.fillStyle = `rgb(${colour(value).join(" ")})`;
      context.fillRect(x, y, edge(left, right, column + 1, cells.length) - x, edge(top, bottom, row + 1, rows.length) - y);
    }),
  );
  return canvas;
}

/** A colour of a scale, from 0 to 1. */
function at(colours, value) {
  const place = Math.min(1, Math.max(0, value)) * (colours.length - 1);
  const below = Math.min(colours.length - 2, Math.floor(place));
  return colours[below].map((one, index) => Math.round(one + (colours[below + 1][index] - one) * (place - below)));
}

function scale(colours, low, high) {
  const stops = colours.map((one) => `rgb(${one.join(" ")})`).join(", ");
  return h("p", { class: "scale note" }, low, h("span", { "aria-hidden": "true", style: { "background-image": `linear-gradient(90deg, ${stops})` } }), high);
}

/** In words, where the greatest value of a map is. */
function where(rows) {
  const values = rows.flat();
  const place = values.indexOf(Math.max(...values));
  const third = (part, parts) => Math.min(2, Math.floor((3 * part) / parts));
  const [down, across] = [third(Math.floor(place / rows[0].length), rows.length), third(place % rows[0].length, rows[0].length)];
  return `${PARTS[0][down]} ${PARTS[1][across]}`;
}

const near = (what, captions) => h("div", {}, h("dt", {}, what), h("dd", {}, h("ol", {}, captions.map((text) => h("li", {}, text)))));

const said = ({ sentence, names }) =>
  h("p", {}, h("q", {}, sentence), names.length > 0 && h("span", { class: "note" }, ` names ${names.join(", ")}`));

function trust(first, second) {
  const known = [first.agreement, second.agreement].filter((value) => value !== null).map(score);
  const agree = known.length ? `The two maps of a picture agree by a rank correlation of ${known.join(" and ")}. ` : "";
  return `${agree}Maps say what the score depends on, and only roughly; docs/explain.md says how far they can be trusted.`;
}
