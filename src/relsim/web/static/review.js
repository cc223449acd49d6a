// One row of a list in a dialog, with its caption to correct.

import { get, send } from "./api.js";
import { h, hear } from "./dom.js";
import { told } from "./findings.js";
import { recall, remember } from "./person.js";
import { RowDialog } from "./row.js";

const WHO = "reviewer";
const WAIT = 200; // milliseconds after a key

export class Review extends RowDialog {
  constructor(view, closed) {
    super(view, () => {
      clearTimeout(this.waiting);
      closed();
    });
    this.dialog.addEventListener("keydown", (event) => this.pressed(event));
  }

  focus() {
    this.text.focus();
  }

  draw(message = "") {
    const row = this.row;
    this.text = h("textarea", { id: "corrected", rows: "4", spellcheck: "true", oninput: () => this.typed() });
    this.text.value = this.view.drafts.get(row.row) ?? row.caption ?? "";
    this.verdict = h("p", { class: "note verdict", role: "status" });
    this.alert = h("p", { class: "alert", role: "alert" }, message);
    this.save = h("button", { class: "primary", type: "submit" }, "Save");
    this.saveNext = h("button", { type: "button", onclick: () => this.store(true), title: "Ctrl+Enter" }, "Save and next");
    this.back = h("button", { type: "button", onclick: () => this.takeBack(), hidden: row.caption === row.listed }, "Undo the last change");
    this.drawWho();
    this.frame(
      h(
        "form",
        {
          onsubmit: (event) => {
            event.preventDefault();
            this.store(false);
          },
        },
        h("label", { for: "corrected" }, "Caption"),
        this.text,
        this.verdict,
        this.who,
        h("p", { class: "line" }, this.save, this.saveNext, this.back),
        this.alert,
        ...this.changes(),
      ),
    );
    this.lint(row.caption === this.text.value ? row : null);
  }

  drawWho() {
    const name = recall(WHO);
    const field = h("input", { id: "who", maxlength: "200", required: true, autocomplete: "name" });
    const who = name
      ? h(
          "p",
          { class: "note" },
          `Changes are kept in the name of ${name}. `,
          h(
            "button",
            {
              type: "button",
              class: "small",
              onclick: () => {
                remember(WHO, "");
                this.drawWho();
                this.name.focus();
              },
            },
            "Another name",
          ),
        )
      : h("p", {}, h("label", { for: "who" }, "Your name, which is kept with each change"), field);
    this.name = name ? null : field;
    this.who?.replaceWith(who);
    this.who = who;
  }

  pressed(event) {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    this.store(true);
  }

  typed() {
    this.view.drafts.set(this.row.row, this.text.value);
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.lint(null), WAIT);
  }

  /** Say what the linter finds: what is known of the row, or asked anew. */
  async lint(known) {
    const text = this.text.value.trim();
    let found = known;
    if (!known && text) {
      try {
        found = await get("/api/data/lint", { caption: text });
      } catch (error) {
        this.verdict.textContent = error.message;
        return;
      }
      if (this.text.value.trim() !== text) return;
    }
    if (!text) this.verdict.textContent = "A caption has at least one word.";
    else this.verdict.textContent = found.anonymous ? "Anonymous: it names nothing." : `Not anonymous: ${told(found.findings)}.`;
    this.verdict.classList.toggle("good", Boolean(text && found.anonymous));
  }

  /** Keep the caption; true if it is kept, or was the same. */
  async store(onwards) {
    const who = recall(WHO) || this.name?.value.trim();
    const text = this.text.value.trim();
    if (!text || !who) {
      (this.alert || this.verdict).textContent = text ? "Your name is missing." : "A caption has at least one word.";
      (text ? this.name : this.text)?.focus();
      return;
    }
    remember(WHO, who);
    if (text !== (this.row.caption ?? "")) {
      const sent = { row: this.row.row, caption: text, was: this.row.caption, who };
      if (!(await this.change("/changes", sent, "Saved."))) return;
    }
    if (onwards) await this.go(1);
    else this.text.focus();
  }

  async takeBack() {
    const who = recall(WHO) || this.name?.value.trim();
    if (!who) {
      this.alert.textContent = "Your name is missing.";
      this.name?.focus();
      return;
    }
    remember(WHO, who);
    await this.change("/undo", { row: this.row.row, who }, "The last change is taken back.");
  }

  /** Send a change and show what came of it; where somebody else was first, show theirs, and keep what was typed. */
  async change(path, content, done) {
    for (const button of [this.save, this.saveNext, this.back]) button.disabled = true;
    let message = done;
    let kept = true;
    try {
      this.row = await send(this.view.path(path), content);
      this.view.drafts.delete(this.row.row);
    } catch (error) {
      message = error.message;
      kept = false;
      if (error.status === 409) this.row = await get(this.view.path("/row"), { row: this.row.row });
    }
    if (kept || this.dialog.open) this.draw(message);
    if (kept) {
      hear(message);
      await this.view.took(this.row);
    }
    return kept;
  }
}
