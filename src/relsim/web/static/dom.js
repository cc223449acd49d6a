// Elements from data. Text is always set as text, so nothing that comes from a collection is ever markup.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "line", "rect", "circle", "g", "text"]);

/** An element: `h("a", {href: "#", class: "x", onclick: f}, "text", child)`. A picture that does not come is asked for again. */
export function h(tag, props = {}, ...children) {
  const element = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else if (name in element && !SVG_TAGS.has(tag) && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  if (tag === "img") element.addEventListener("error", again);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const PAUSES = [1, 3]; // seconds

/** Ask for a picture again, for a busy server may have refused it; mark it as missing where that does not help. */
function again({ target: image }) {
  const times = Number(image.dataset.again ?? 0);
  if (times === PAUSES.length) {
    image.classList.add("missing");
    if (image.alt) image.alt = `cannot be shown: ${image.alt}`;
    image.dispatchEvent(new Event("missing"));
    return;
  }
  const address = image.src.replace(/[?&]again=\d$/, "");
  image.dataset.again = times + 1;
  // Not all at the same moment: many may have been refused at once.
  const wait = 1000 * PAUSES[times] * (0.75 + Math.random() / 2);
  setTimeout(() => (image.src = `${address}${address.includes("?") ? "&" : "?"}again=${times + 1}`), wait);
}

/** A picture of an address once it is here, or of one that was just made; fails where it is missing in the end. */
export async function arrived(picture) {
  const image = typeof picture === "string" ? h("img", { src: picture }) : picture;
  await new Promise((done, failed) => {
    image.addEventListener("load", done);
    image.addEventListener("missing", () => failed(new Error("A picture cannot be shown.")));
  });
  await image.decode();
  return image;
}

/** Draw anew within an element; the keyboard, where it was on what has gone, goes to the first of `selector` there. */
export function redrawn(element, selector, draw) {
  const inside = element.contains(document.activeElement);
  draw();
  if (!inside || element.contains(document.activeElement)) return;
  const target = element.querySelector(selector);
  if (target && !target.matches("a, button, input, select")) target.tabIndex = -1;
  target?.focus({ preventScroll: true });
}

let hiding = 0;

/** Tell something in passing; screen readers say it. */
export function say(text) {
  const toast = document.getElementById("status");
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => (toast.hidden = true), 6000);
}

/** Tell screen readers alone what everybody else sees. */
export function hear(text) {
  document.getElementById("heard").textContent = text;
}

/** A percentile: 100 is never said, for it says no more than that no pair of those that were looked at is higher. */
export const above = (value) => `${Math.min(value, 99.9).toFixed(1)} %`;

/** A percentile in words. */
export const percent = (value) => `higher than ${above(value)} of unrelated pairs`;

/** A number of images, with separators. */
export const count = (number) => number.toLocaleString("en");

/** A score with two digits and a true minus sign. */
export const score = (number) => number.toFixed(2).replace("-", "\u2212");
