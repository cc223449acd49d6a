// What stands for api.js in a site without a server: answers that were recorded, in files that are loaded when needed.

import { data, rowPicture } from "./site-data.js";
import { load, Refused, site } from "./site-files.js";

export { Refused, rowPicture };

/** Whether anything can be changed: corrections are made with a server. */
export const writes = false;

async function recorded(path, values) {
  const asked = Object.entries(values)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => [name, String(value)]);
  const key = JSON.stringify([path, asked.sort(([one], [other]) => (one < other ? -1 : 1))]);
  const place = site.places[key];
  if (place === undefined) throw new Refused(404, "This site has no answer to that.");
  if (!(key in site.answers)) await load(place);
  return structuredClone(given(site.answers[key]));
}

function given(answer) {
  if (answer.refused) throw new Refused(answer.status, answer.refused);
  return answer;
}

/** Images of the pages that were recorded. */
async function images({ start = 0, count = 100 }) {
  const found = [];
  const first = Math.floor(start / site.page) * site.page;
  for (let at = first; at < Math.min(start + count, site.collection.images); at += site.page)
    found.push(...(await recorded("/api/images", { start: at, count: site.page })).images);
  return { total: site.collection.images, start, images: found.slice(start - first, start - first + count) };
}

/** The nearest of the blends that were recorded. */
async function search({ id, blend }) {
  const wanted = Number(blend ?? 0.5);
  const nearest = site.stops.reduce((one, other) => (Math.abs(other - wanted) < Math.abs(one - wanted) ? other : one));
  return given((await recorded("/api/search", { id }))[nearest]);
}

async function space({ id, scale }) {
  if (site.places[JSON.stringify(["/api/space", [["id", String(id)], ["scale", scale]]])] === undefined)
    throw new Refused(404, `This site holds the similarity spaces of its first ${site.spaces} pictures, and this is none of them.`);
  return recorded("/api/space", { id, scale });
}

async function pair({ first, id }) {
  const told = await recorded("/api/search", { id });
  for (const stop of site.stops) {
    const found = told[stop];
    const match = found.matches?.find((one) => one.id === first);
    if (match) return { ...match, captions: [match.caption, found.caption] };
  }
  throw new Refused(404, "This site has no scores of these two.");
}

export async function get(path, values = {}, signal) {
  signal?.throwIfAborted();
  let answer;
  if (path === "/api/collection") answer = site.collection;
  else if (path === "/api/images") answer = await images(values);
  else if (path === "/api/search") answer = await search(values);
  else if (path === "/api/space") answer = await space(values);
  else if (path === "/api/pair") answer = await pair(values);
  else if (path === "/api/data" || path.startsWith("/api/data/")) answer = structuredClone(await data(path, values));
  else if (path.endsWith("/matches"))
    answer = (await Promise.all(values.queries.split(",").map((queries) => recorded(path, { queries })))).flat();
  else answer = await recorded(path, values);
  signal?.throwIfAborted();
  return answer;
}

const refuse = async () => {
  throw new Refused(405, "This site has no server; nothing can be sent.");
};

export const send = refuse;
export const upload = refuse;

const picture = (path, id, side) => {
  const file = site.pictures[JSON.stringify([path, id])]?.[side > 192 ? 1 : 0];
  return file === undefined ? "pictures/missing" : `pictures/${file}`;
};

export const thumbnail = (of, side = 192) => picture("/api/thumbnail", of.id, side);

export const runThumbnail = (run, id, side = 192) => picture(`/api/results/${run}/thumbnail`, id, side);
