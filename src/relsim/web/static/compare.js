// Two pictures side by side, with what is known of the pair.

import { get, thumbnail } from "./api.js";
import { h, percent, say, score } from "./dom.js";

/**
 * Open the comparison of a query (`{id}` or `{upload}`) with an image of the collection; `reasons` offers to explain it.
 */
export async function compare(query, image, signal, { reasons = false } = {}) {
  let pair;
  try {
    pair = await get("/api/pair", { first: image.id, id: query.id, upload: query.upload }, signal);
  } catch (error) {
    if (error.name !== "AbortError") say(error.message);
    return;
  }
  const row = (axis, label, value, percentile) =>
    value !== null &&
    h(
      "div",
      { class: axis },
      h("dt", {}, label),
      h(
        "dd",
        {},
        h("span", { class: "bar", style: { "--value": String(Math.max(0, value)) }, "aria-hidden": "true" }),
        score(value),
        percentile !== null && h("span", { class: "note" }, percent(percentile)),
      ),
    );
  const pictures = [
    { src: thumbnail(query, query.upload ? 384 : 1024), name: query.id ?? "your picture", caption: pair.captions[1] },
    { src: thumbnail(image, 1024), name: image.id, caption: pair.captions[0] },
  ];
  const closed = new AbortController();
  const place = h("div", { class: "why", "aria-live": "polite" });
  const bars = (told) =>
    h(
      "dl",
      { class: "bars large" },
      row("relation", "logic", told.relation, told.relation_percentile),
      row("look", "look", told.look, told.look_percentile),
    );
  let shown = bars(pair);
  const explain = async () => {
    const told = await (await import("./why.js")).why(place, query, image, pictures, closed.signal);
    if (!told) return;
    // Percentiles come with the model, which may not have been there when the pair was asked for.
    const known = bars(told);
    shown.replaceWith(known);
    shown = known;
  };
  if (reasons) place.append(h("button", { type: "button", onclick: explain }, "Why?"));
  const dialog = sideBySide(
    kindOf(pair),
    pictures,
    shown,
    reasons && place,
  );
  dialog.addEventListener("close", () => closed.abort());
}

/** Open a dialog of two pictures, each `{src, name, caption}`, with elements below them. */
export function sideBySide(title, pictures, ...below) {
  const dialog = h(
    "dialog",
    { class: "compare", "aria-labelledby": "compared" },
    h("h2", { id: "compared" }, title),
    h(
      "div",
      { class: "two" },
      pictures.map(({ src, name, caption }) =>
        h(
          "figure",
          {},
          h("img", { src, alt: caption || name }),
          h("figcaption", {}, caption && h("q", {}, caption), h("span", { class: "note" }, name)),
        ),
      ),
    ),
    below,
    h("form", { method: "dialog" }, h("button", { class: "primary", autofocus: true }, "Close")),
  );
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

const ALIKE = 90;

/** What Gentner and Markman (American Psychologist 52, 1997) call such a pair, where percentiles tell. */
function kindOf({ relation_percentile: logic, look_percentile: look }) {
  if (logic === null || look === null) return "Two pictures";
  if (logic >= ALIKE) return look >= ALIKE ? "Literal similarity: logic and look" : "Analogy: the logic, not the look";
  return look >= ALIKE ? "Mere appearance: the look, not the logic" : "Little in common";
}
