// The JSON API. Every call takes a signal, so that a view that has been left asks for nothing more.

/** What the server refused, in its own words. */
export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

const ATTEMPTS = 4;

async function call(path, options = {}, attempt = 1) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The server cannot be reached.");
  }
  if (answer.status === 429 && attempt < ATTEMPTS) {
    const seconds = Number(answer.headers.get("retry-after")) || 1;
    await new Promise((done) => setTimeout(done, 1000 * seconds * (0.5 + Math.random())));
    return call(path, options, attempt + 1);
  }
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const told = await answer.json().catch(() => null);
  const detail = told && (Array.isArray(told.detail) ? told.detail.map((one) => one.msg).join("; ") : told.detail);
  throw new Refused(answer.status, detail || `The server answered ${answer.status}.`);
}

function query(values) {
  const given = Object.entries(values)
    .flatMap(([name, value]) => (Array.isArray(value) ? value.map((one) => [name, one]) : [[name, value]]))
    .filter(([, value]) => value !== undefined && value !== null);
  return new URLSearchParams(given).toString();
}

export const get = (path, values = {}, signal) => call(`${path}?${query(values)}`, { signal });

export const send = (path, content, { method = "POST", signal } = {}) =>
  call(path, {
    method,
    signal,
    headers: { "content-type": "application/json", "x-relsim": "1" },
    body: JSON.stringify(content),
  });

export const upload = (file) =>
  call("/api/uploads", {
    method: "POST",
    headers: { "content-type": file.type || "application/octet-stream", "x-relsim": "1" },
    body: file,
  });

/** The address of a thumbnail: of `{id}` or of `{upload}`. */
export const thumbnail = (of, side = 192) => `/api/thumbnail?${query({ id: of.id, upload: of.upload, side })}`;

/** Whether anything can be changed: there is a server. */
export const writes = true;

/** The address of a thumbnail of a row of a list. */
export const rowPicture = (list, row, side = 192) => `/api/data/${encodeURIComponent(list)}/picture?${query({ row, side })}`;

/** The address of a thumbnail of a picture that a retrieval run names. */
export const runThumbnail = (run, id, side = 192) => `/api/results/${run}/thumbnail?${query({ id, side })}`;
