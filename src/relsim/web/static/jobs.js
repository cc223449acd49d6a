// Jobs: what is embedded and downloaded, how far each is by events of the server, and what can be started.

import { get, send } from "./api.js";
import { count, h, hear, say } from "./dom.js";

const STATES = {
  running: "running",
  elsewhere: "running elsewhere",
  finished: "finished",
  cancelled: "cancelled",
  failed: "failed",
  ended: "ended with the server",
  idle: "nobody writes",
};
const AXES = { relation: "logic", look: "look" };
const BETWEEN = " \u00b7 ";
const GOING = new Set(["running", "elsewhere"]);

export class JobsView {
  constructor(main) {
    this.main = main;
    this.asking = new AbortController();
    this.states = new Map();
  }

  async start() {
    this.form = h("form", { class: "filters", "aria-label": "Start a job", onsubmit: (event) => this.submitted(event) });
    this.list = h("section", { class: "jobs", "aria-label": "Jobs" });
    this.main.replaceChildren(
      h("h1", {}, "Jobs"),
      h("p", { class: "note" }, "What is started here goes on without this page, and ends with the server; what is finished is kept."),
      this.form,
      this.list,
    );
    try {
      await this.choose();
    } catch (error) {
      this.fail(error);
      return;
    }
    this.listen();
  }

  stop() {
    this.asking.abort();
    this.events?.close();
  }

  update() {}

  fail(error) {
    if (error.name === "AbortError") return;
    this.list.replaceChildren(h("p", { class: "empty", role: "alert" }, error.message));
  }

  /** Follow the server; the browser comes back by itself when it was away. */
  listen() {
    this.events = new EventSource("/api/jobs/events");
    this.events.addEventListener("jobs", (event) => {
      this.away?.remove();
      this.draw(JSON.parse(event.data));
    });
    this.events.addEventListener("error", () => {
      this.away ??= h("p", { class: "warning", role: "status" }, "The server cannot be reached; what is below is as it was last.");
      this.list.before(this.away);
      // A server that refuses, or that was started anew, ends the stream for good.
      if (this.events.readyState === EventSource.CLOSED) this.again = setTimeout(() => this.listen(), 2000);
    });
    this.asking.signal.addEventListener("abort", () => clearTimeout(this.again));
  }

  /** What can be started. */
  async choose() {
    const { sources, axes, jobs } = await get("/api/jobs", {}, this.asking.signal);
    this.sources = sources;
    const source = h("select", { id: "source", onchange: () => this.fit() }, sources.map(({ name }) => h("option", { value: name }, name)));
    const what = h(
      "select",
      { id: "what" },
      axes.map((axis) => h("option", { value: axis }, axes.length > 1 ? `Embed by ${AXES[axis]}` : "Embed")),
      h("option", { value: "download" }, "Download"),
    );
    const before = this.form.querySelector("#source")?.value;
    this.controls = { source, what };
    this.form.replaceChildren(
      ...(sources.length
        ? [
            h("div", {}, h("label", { for: "source" }, "Folder or list"), source),
            h("div", {}, h("label", { for: "what" }, "What to do"), what),
            h("button", { class: "primary" }, "Start"),
          ]
        : [h("p", {}, "Nothing is in the folder of jobs yet: put a folder of pictures or a list there.")]),
    );
    if (sources.some(({ name }) => name === before)) source.value = before;
    if (sources.length) this.fit();
    this.draw(jobs);
  }

  /** Offer what the chosen source allows. */
  fit() {
    const { source, what } = this.controls;
    const { verbs } = this.sources.find(({ name }) => name === source.value);
    const download = what.querySelector("[value=download]");
    download.disabled = download.hidden = !verbs.includes("download");
    if (download.disabled && what.value === "download") what.selectedIndex = 0;
  }

  async submitted(event) {
    event.preventDefault();
    const { source, what } = this.controls;
    const wanted = what.value === "download" ? { verb: "download" } : { verb: "embed", axis: what.value };
    await this.ask("/api/jobs", { source: source.value, ...wanted });
  }

  async ask(path, content = {}) {
    try {
      const job = await send(path, content);
      hear(`${job.name}: ${STATES[job.state]}`);
    } catch (error) {
      say(error.message);
    }
  }

  draw(jobs) {
    if (!jobs.length) {
      this.list.replaceChildren(h("p", { class: "empty" }, "No job has been started."));
      return;
    }
    const shown = new Map([...this.list.querySelectorAll(".job")].map((one) => [one.dataset.name, one]));
    const focused = document.activeElement?.closest?.(".job") && document.activeElement;
    const articles = jobs.map((job) => this.kept(job, shown.get(job.name)) ?? this.job(job, shown.get(job.name)?.querySelector("details[open]")));
    if (articles.some((one, index) => this.list.children[index] !== one) || this.list.children.length !== articles.length) {
      this.list.replaceChildren(...articles);
      const name = focused && focused.closest(".job").dataset.name;
      if (focused) this.list.querySelector(`.job[data-name="${CSS.escape(name)}"] :is(button, summary)`)?.focus();
    }
    let ended = false;
    for (const { name, state } of jobs) {
      const before = this.states.get(name);
      if (GOING.has(before) && !GOING.has(state)) {
        hear(`${name}: ${STATES[state]}`);
        ended = true;
      }
      this.states.set(name, state);
    }
    // What was made can be a source.
    if (ended) this.choose().catch((error) => this.fail(error));
  }

  /** The article that shows a job already, with new numbers; null where more has changed than numbers. */
  kept(job, article) {
    if (article?.dataset.facts !== settled(job)) return null;
    const bar = article.querySelector("progress");
    if (bar && job.total) {
      bar.value = job.done;
      bar.setAttribute("aria-label", told(job));
    }
    article.querySelector(".numbers").textContent = facts(job).join(BETWEEN);
    return article;
  }

  job(job, open) {
    const path = `/api/jobs/${encodeURIComponent(job.name)}`;
    const does = (what, text, title) =>
      h("button", { type: "button", class: "small", "data-does": what, "aria-label": `${text} ${job.name}`, title, onclick: () => this.ask(`${path}/${what}`) }, text);
    return h(
      "article",
      { class: `job ${job.state}`, "data-name": job.name, "data-facts": settled(job), "aria-label": job.name },
      h(
        "header",
        {},
        h("h2", {}, job.name),
        h("span", { class: "state" }, STATES[job.state]),
        job.state === "running" && does("cancel", "Cancel", "What is finished is kept"),
        job.resumable && does("resume", "Go on", "What is finished is not done again"),
      ),
      job.total
        ? h("progress", { max: job.total, value: job.done, "aria-label": told(job) })
        : GOING.has(job.state) && h("progress", { "aria-label": `${job.name}: how far is not known` }),
      h("p", { class: "numbers" }, facts(job).join(BETWEEN)),
      job.message && h("p", { class: "warning" }, job.message),
      job.failures.length > 0 &&
        h(
          "details",
          { open: Boolean(open) },
          h("summary", {}, `${count(job.failed)} without an image that can be used`),
          h("ul", {}, job.failures.map(({ status, reason, count: many }) => h("li", {}, h("b", {}, count(many)), ` ${status}`, reason && `: ${reason}`))),
        ),
    );
  }
}

/** What of a job makes another article where it changes; numbers do not. */
const settled = ({ state, resumable, message, failures, total }) => JSON.stringify([state, resumable, message, failures, total]);

const told = (job) => `${job.name}: ${job.done} of ${job.total}`;

/** What is known of a job, in words. */
function facts(job) {
  const doing = job.verb === "embed" ? (job.axis ? `embedding by ${AXES[job.axis]}` : "embedding") : "downloading";
  const going = GOING.has(job.state);
  return [
    job.source ? `${doing} ${job.source}` : doing,
    job.total === null ? (job.done || !going ? `${count(job.done)} images` : "beginning") : `${count(job.done)} of ${count(job.total)}`,
    going && job.rate === null && job.done === 0 && "no image is done yet",
    job.rate !== null && `${job.rate.toFixed(job.rate < 10 ? 1 : 0)} images/s`,
    job.seconds_left !== null && `${clock(job.seconds_left)} left`,
    !going && job.started && job.ended && `${clock((Date.parse(job.ended) - Date.parse(job.started)) / 1000)} in all`,
    !going && job.ended && new Date(job.ended).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" }),
  ].filter(Boolean);
}

/** Seconds as `H:MM:SS`. */
function clock(seconds) {
  const whole = Math.round(seconds);
  const two = (number) => String(number).padStart(2, "0");
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}
