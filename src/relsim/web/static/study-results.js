// What a study comes to: for each two methods the shares of answers with their intervals, and how far people agree.

import { get, Refused } from "./api.js";
import { count, h, score } from "./dom.js";

export class StudyResultsView {
  constructor(main) {
    this.main = main;
    this.asking = new AbortController();
  }

  async start() {
    try {
      this.draw(await get("/api/study/results", {}, this.asking.signal));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Refused)) throw error;
      this.main.replaceChildren(h("p", { class: "empty", role: "alert" }, error.message));
    }
  }

  stop() {
    this.asking.abort();
  }

  update() {}

  draw(found) {
    const facts = [
      `${count(found.answers)} ${found.answers === 1 ? "answer" : "answers"} of ${count(found.people)} ${found.people === 1 ? "person" : "people"}`,
      `${count(found.complete)} of ${count(found.questions)} questions have ${count(found.answers_wanted)} or more`,
      found.median_seconds !== null && `${found.median_seconds.toFixed(1)} seconds for half of the answers`,
      found.left && `the left one was taken in ${percent(found.left)} (${range(found.left)})`,
    ];
    this.main.replaceChildren(
      h("h1", {}, "Results of the study"),
      h("p", { class: "note" }, facts.filter(Boolean).join("; ")),
      h("p", { class: "note" }, agreement(found.agreement)),
      h("div", { class: "outcomes" }, found.pairs.map(pair)),
      h(
        "p",
        { class: "note" },
        "A share is the mean over questions of the share within a question; intervals are 95 % bootstraps over questions. ",
        h("a", { href: "/api/study/results" }, "As JSON"),
      ),
    );
  }
}

function pair(one) {
  const names = { first: one.first, same: "same", second: one.second };
  const rows =
    one.shares &&
    Object.entries(names).map(([share, name]) =>
      h(
        "tr",
        { class: share },
        h("th", { scope: "row" }, name),
        h("td", {}, bar(one.shares[share])),
        h("td", { class: "number" }, percent(one.shares[share])),
        h("td", { class: "number note" }, range(one.shares[share])),
        h("td", { class: "number note" }, count(one.counts[share])),
      ),
    );
  const [queries, were] = one.same_picture === 1 ? ["query", "was"] : ["queries", "were"];
  const same = one.same_picture ? `; ${count(one.same_picture)} ${queries} ${were} not asked, since both found the same picture` : "";
  return h(
    "section",
    { class: "outcome" },
    h("h2", {}, `${one.first} against ${one.second}`),
    rows
      ? h(
          "table",
          {},
          h(
            "thead",
            {},
            h("tr", {}, ["Chosen", "Share", "", "95 % interval", "Answers"].map((name) => (name ? h("th", { scope: "col" }, name) : h("td")))),
          ),
          h("tbody", {}, rows),
        )
      : h("p", {}, "Nobody has answered yet."),
    h("p", { class: "note" }, `${count(one.questions)} of ${count(one.asked)} questions have an answer${same}. ${agreement(one.agreement)}`),
  );
}

/** A share as a bar, its interval as a line over it. */
function bar(share) {
  return h(
    "span",
    {
      class: "share",
      "aria-hidden": "true",
      style: { "--value": String(share.value), "--low": String(share.low), "--high": String(share.high) },
    },
    h("i"),
  );
}

const percent = (share) => `${(100 * share.value).toFixed(1)} %`;

const range = (share) => `${(100 * share.low).toFixed(1)} to ${(100 * share.high).toFixed(1)}`;

function agreement(found) {
  const parts = [
    found.fleiss_kappa !== null && `Fleiss\u2019 kappa ${score(found.fleiss_kappa)} (${count(found.fleiss_questions)} questions)`,
    found.krippendorff_alpha !== null &&
      `Krippendorff\u2019s alpha ${score(found.krippendorff_alpha)} (${count(found.krippendorff_questions)} questions)`,
  ].filter(Boolean);
  return `Agreement: ${parts.join(", ") || "not defined for these answers"}.`;
}
