// The lists of a site without a server: rows that are loaded from files and filtered here as the server filters them.

import { count } from "./dom.js";
import { load, Refused, site } from "./site-files.js";

const EMPTY = { caption: null, anonymous: null, link: null, group: null, group_size: null, reason: null, width: null, height: null };
/** White space as Python splits at it. */
const SPACE = /[\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;
const TEXTS = ["status", "group"];
const FLAGS = ["anonymous", "captioned", "corrected"];
const NUMBERS = ["smallest", "largest", "shortest", "longest"];

const read = new Map(); // rows by file
const found = new Map(); // of each list, what was asked last and what passes

/** Text without differences of case, as `str.casefold` of Python makes it. */
export const fold = (text) => [...text].map((sign) => site.folds[sign] ?? sign.toLowerCase()).join("");

export const words = (text) => text.split(SPACE).filter(Boolean);

/** A row of a file as the API tells it, and beside it what only filters and pictures need. */
function whole(packed, number) {
  const { corrected = false, files = [], history = [], ...told } = packed;
  const row = { ...EMPTY, findings: [], picture: false, listed: told.caption ?? null, ...told, row: number, changes: history.length };
  return { row, corrected, files, history };
}

async function part(list, number) {
  const name = `${list.files}-${number}`;
  if (!read.has(name)) {
    await load(name);
    read.set(name, site.rows[name].map((packed, place) => whole(packed, number * site.chunk + place)));
  }
  return read.get(name);
}

/** The rows from the one of that number to before the other, of as many files as they are in. */
async function between(list, start, end) {
  const first = Math.floor(start / site.chunk);
  const parts = Array.from({ length: Math.max(0, Math.ceil(end / site.chunk) - first) }, (_, place) => part(list, first + place));
  return (await Promise.all(parts)).flat().slice(start - first * site.chunk, end - first * site.chunk);
}

/** What is asked for, in its own kind: `Refused` for what is no number, or neither true nor false. */
function filters(values) {
  const given = ([name]) => values[name] !== undefined && values[name] !== null;
  const unfit = (name) => {
    throw new Refused(422, `${name} cannot be ${values[name]}.`);
  };
  const kinds = [
    ...FLAGS.map((name) => [name, (text) => text === "true" || (text !== "false" && unfit(name))]),
    ...NUMBERS.map((name) => [name, (text) => (/^\d+$/.test(text) ? Number(text) : unfit(name))]),
    ...[...TEXTS, "text", "finding"].map((name) => [name, (text) => text]),
  ];
  return Object.fromEntries(kinds.filter(given).map(([name, make]) => [name, make(String(values[name]))]));
}

const within = (value, least, most) =>
  (least === undefined && most === undefined) || (value !== null && value >= (least ?? 0) && value <= (most ?? Infinity));

/** Whether an entry passes; the same as `relsim.web.datasets.Dataset.find`. */
function passes(entry, asked, sought) {
  const { row } = entry;
  if (TEXTS.some((name) => asked[name] !== undefined && row[name] !== asked[name])) return false;
  if (asked.corrected !== undefined && entry.corrected !== asked.corrected) return false;
  if (!within(row.group_size, asked.smallest, asked.largest)) return false;
  if (asked.captioned !== undefined && (row.caption !== null) !== asked.captioned) return false;
  if (sought.length) {
    if (row.caption === null) return false;
    entry.folded ??= fold(row.caption);
    if (!sought.every((word) => entry.folded.includes(word))) return false;
  }
  if (asked.shortest !== undefined || asked.longest !== undefined) {
    entry.length ??= row.caption === null ? null : words(row.caption).length;
    if (!within(entry.length, asked.shortest, asked.longest)) return false;
  }
  if (asked.anonymous !== undefined && row.anonymous !== asked.anonymous) return false;
  return asked.finding === undefined || row.findings.some((one) => one.kind === asked.finding);
}

async function rows(list, { start = 0, count: most = 100, ...values }) {
  const asked = filters(values);
  if (!Object.keys(asked).length) {
    const some = await between(list, start, Math.min(start + most, list.summary.rows));
    return { total: list.summary.rows, start, rows: some.map((entry) => entry.row) };
  }
  const key = JSON.stringify(asked);
  if (found.get(list)?.key !== key) {
    const sought = asked.text === undefined ? [] : words(fold(asked.text));
    const all = await between(list, 0, list.summary.rows);
    found.set(list, { key, passing: all.filter((entry) => passes(entry, asked, sought)) });
  }
  const { passing } = found.get(list);
  return { total: passing.length, start, rows: passing.slice(start, start + most).map((entry) => entry.row) };
}

async function one(list, number) {
  if (!(number >= 0 && number < list.summary.rows))
    throw new Refused(404, `This site holds the first ${count(list.summary.rows)} rows of this list, counted from 0.`);
  return (await between(list, number, number + 1))[0];
}

const named = (name) => {
  const list = site.lists.find((one) => one.listed.name === name);
  if (!list) throw new Refused(404, "No list of that name is in this site.");
  return list;
};

/** What is answered to a path below `/api/data`. */
export async function data(path, values) {
  const [name, kind] = path.split("/").slice(3).map(decodeURIComponent);
  if (name === undefined) return site.lists.map((list) => list.listed);
  const list = named(name);
  if (kind === undefined) return list.summary;
  if (kind === "rows") return rows(list, values);
  const entry = await one(list, values.row);
  return kind === "changes" ? entry.history : entry.row;
}

/** The file of a row's picture, once the row is here. */
export function rowPicture(name, number, side = 192) {
  const file = read.get(`${named(name).files}-${Math.floor(number / site.chunk)}`)?.[number % site.chunk].files[side > 192 ? 1 : 0];
  return file === undefined ? "pictures/missing" : `pictures/${file}`;
}
