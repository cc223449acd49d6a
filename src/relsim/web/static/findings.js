// What the linter finds in a caption, in place and in words.

import { h } from "./dom.js";

/** The caption with the words that are found marked. Places are counted in signs of Unicode, as the server does. */
export function marked(text, findings) {
  const signs = [...text];
  const pieces = [];
  let at = 0;
  for (const { start, end, kind, word } of findings) {
    if (start < at || (kind === "no placeholder" && !word)) continue;
    pieces.push(signs.slice(at, start).join(""), h("mark", { title: kind }, signs.slice(start, end).join("")));
    at = end;
  }
  pieces.push(signs.slice(at).join(""));
  return pieces.filter((piece) => piece !== "");
}

/** In a few words: `names dog (animal), 1999 (number)`. */
export function told(findings) {
  const words = findings.filter((one) => one.kind !== "no placeholder" && one.kind !== "placeholder");
  const names = words.length ? `names ${words.map((one) => `${one.word} (${one.kind})`).join(", ")}` : "";
  const faults = findings.filter((one) => one.kind === "placeholder").map((one) => `a placeholder with a fault: ${one.word}`);
  const none = findings.some((one) => one.kind === "no placeholder") ? ["has no placeholder"] : [];
  return [names, ...faults, ...none].filter(Boolean).join("; ");
}
