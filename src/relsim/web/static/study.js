// A study: a query and two pictures; which works more like it, A, B, or neither? Each answer is kept at once.

import { get, Refused, send } from "./api.js";
import { arrived, count, h, hear, redrawn } from "./dom.js";
import { recall, remember } from "./person.js";

const WHO = "participant";
const PLACES = ["query", "left", "right"];
const CHOICES = [
  ["left", "A", "1"],
  ["right", "B", "2"],
  ["same", "Same", "3"],
];

export class StudyView {
  constructor(main) {
    this.main = main;
    this.listeners = new AbortController();
    this.passed = [];
    this.before = []; // questions that were answered here, with the choice
  }

  async start() {
    addEventListener("keydown", (event) => this.pressed(event), { signal: this.listeners.signal });
    try {
      this.about = await get("/api/study", {}, this.listeners.signal);
      if (recall(WHO)) await this.next();
      else this.welcome();
    } catch (error) {
      this.fail(error);
    }
  }

  stop() {
    this.listeners.abort();
  }

  update() {}

  fail(error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Refused)) throw error;
    this.ready = false;
    this.main.replaceChildren(
      h("p", { class: "empty", role: "alert" }, error.message, " What you answered is kept."),
      h("p", { class: "empty" }, h("button", { class: "primary", onclick: () => this.next().catch((again) => this.fail(again)) }, "Try again")),
    );
  }

  welcome() {
    this.ready = false;
    const field = h("input", { id: "person", maxlength: "200", required: true, autocomplete: "off" });
    field.value = recall(WHO);
    const begin = async (event) => {
      event.preventDefault();
      const name = field.value.trim();
      if (!name) return;
      remember(WHO, name);
      this.before = [];
      await this.next().catch((error) => this.fail(error));
    };
    this.main.replaceChildren(
      h(
        "form",
        { class: "welcome", onsubmit: begin },
        h("h1", {}, "Which works more alike?"),
        h("p", {}, this.about.instruction),
        h("p", {}, `There are ${count(this.about.questions)} questions. Each answer is kept at once: you may stop at any time and go on later with the same name.`),
        h("p", {}, "Answer by a click, or by the keys 1 for A, 2 for B and 3 for same."),
        h("label", { for: "person" }, "Your name, or the code that you were given"),
        h("div", { class: "line" }, field, h("button", { class: "primary" }, "Begin")),
      ),
    );
    field.focus();
  }

  async next() {
    this.take(await get("/api/study/next", { person: recall(WHO), passed: this.passed }, this.listeners.signal));
  }

  /** Show the question of a turn, or that there is none left. */
  take(turn) {
    this.turn = turn;
    redrawn(this.main, "h1", () => (turn.question ? this.ask(turn.question) : this.end()));
    if (turn.then) for (const place of PLACES) new Image().src = picture(turn.then, place);
  }

  end() {
    this.ready = false;
    const passed = this.passed.length;
    this.main.replaceChildren(
      h(
        "section",
        { class: "welcome" },
        h("h1", {}, this.turn.answered ? "Thank you" : "Nothing to answer"),
        h(
          "p",
          {},
          this.turn.answered
            ? `You have answered ${count(this.turn.answered)} questions, and there is no other one for you now.`
            : "Every question has as many answers as were wanted.",
        ),
        passed > 0 && h("p", {}, `${count(passed)} were passed over. `, h("button", { onclick: () => this.again() }, "Ask them again")),
        h(
          "p",
          { class: "line" },
          this.before.length > 0 && h("button", { onclick: () => this.back() }, "Back to the last question"),
          h("button", { onclick: () => this.welcome() }, "Another person"),
        ),
      ),
    );
    hear("Thank you. There is no other question for you now.");
  }

  again() {
    this.passed = [];
    this.next().catch((error) => this.fail(error));
  }

  /** Show a question; `chosen` is what was answered before, where it is shown again. */
  async ask(question, chosen = null) {
    this.question = question;
    this.ready = false;
    const images = PLACES.map((place) => h("img", { src: picture(question, place), alt: NAMES[place] }));
    const shown = ([place, image]) => h("figure", { class: place === "query" ? "sought" : "offered" }, image, h("figcaption", {}, NAMES[place]));
    const [query, left, right] = PLACES.map((place, at) => shown([place, images[at]]));
    this.buttons = CHOICES.map(([choice, text, key]) =>
      h(
        "button",
        { class: "vote", "data-choice": choice, disabled: true, "aria-pressed": String(choice === chosen), "aria-keyshortcuts": key, onclick: () => this.choose(choice) },
        text,
        " ",
        h("kbd", {}, key),
      ),
    );
    const done = this.turn.answered;
    const all = done + this.turn.left;
    this.alert = h("p", { class: "alert", role: "alert" });
    this.main.replaceChildren(
      h(
        "section",
        { class: "question", "aria-label": "Question" },
        h("h1", {}, "Which works more like the one above?"),
        h("details", {}, h("summary", {}, "What is meant"), h("p", {}, this.about.instruction)),
        query,
        h("div", { class: "pair" }, left, right),
        h("div", { class: "votes", role: "group", "aria-label": "Your answer" }, this.buttons),
        this.alert,
        h(
          "div",
          { class: "tools" },
          h("progress", { max: String(all), value: String(done), "aria-label": "Answered" }),
          h("span", { class: "note" }, `${count(done)} answered, ${count(this.turn.left)} left`),
          this.before.length > 0 && !chosen && h("button", { class: "small", onclick: () => this.back() }, "Back"),
          chosen && h("button", { class: "small", onclick: () => this.take(this.turn) }, "Leave it as it was"),
          h("button", { class: "small", onclick: () => this.welcome() }, "Not you?"),
        ),
      ),
    );
    const loaded = await Promise.allSettled(images.map(arrived));
    if (this.question !== question || !this.buttons[0].isConnected) return;
    if (loaded.some((one) => one.status === "rejected")) {
      this.alert.replaceChildren("A picture of this question cannot be shown. ", h("button", { onclick: () => this.pass(question) }, "Pass over it"));
      return;
    }
    for (const button of this.buttons) button.disabled = false;
    this.ready = true;
    this.since = performance.now();
    hear(`Question ${count(done + 1)} of ${count(all)}. 1 for A, 2 for B, 3 for same.`);
  }

  pass(question) {
    this.passed.push(question);
    this.next().catch((error) => this.fail(error));
  }

  back() {
    const last = this.before.pop();
    if (last) this.ask(last.question, last.choice);
  }

  pressed(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.repeat || event.target.closest("input, textarea, select")) return;
    const found = CHOICES.find(([, , key]) => key === event.key);
    if (!found || !this.ready) return;
    event.preventDefault();
    this.choose(found[0]);
  }

  async choose(choice) {
    if (!this.ready) return;
    this.ready = false;
    const seconds = (performance.now() - this.since) / 1000;
    const question = this.question;
    for (const button of this.buttons) {
      button.disabled = true;
      button.setAttribute("aria-pressed", String(button.dataset.choice === choice));
    }
    try {
      const turn = await send("/api/study/answers", { question, person: recall(WHO), choice, seconds, passed: this.passed });
      this.before.push({ question, choice });
      this.take(turn);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      // What was chosen is not kept: the same question stays, and can be answered again.
      for (const button of this.buttons) {
        button.disabled = false;
        button.setAttribute("aria-pressed", "false");
      }
      this.alert.textContent = `This answer was not kept: ${error.message}`;
      this.ready = true;
    }
  }
}

const NAMES = { query: "The picture to compare with", left: "A", right: "B" };

/** The address of a picture, which tells nothing of the method that found it. */
function picture(question, place) {
  return `/api/study/picture?${new URLSearchParams({ question, place, side: 384 })}`;
}
