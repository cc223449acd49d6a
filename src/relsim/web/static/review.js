// One row of a list in a dialog: its picture, its caption to correct, what the linter says, and who changed it when.

import { get, send } from "./api.js";
import { h, hear } from "./dom.js";
import { told } from "./findings.js";
import { recall, remember } from "./person.js";

const WHO = "reviewer";
const WAIT = 200; // milliseconds after a key

export class Review {
  /** `view` is the view that shows the list; `closed` is called once the dialog is gone. */
  constructor(view, closed) {
    this.view = view;
    this.dialog = h("dialog", { class: "review", "aria-labelledby": "reviewed", onkeydown: (event) => this.pressed(event) });
    this.dialog.addEventListener("close", () => {
      clearTimeout(this.waiting);
      this.dialog.remove();
      closed();
    });
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
  }

  close() {
    this.dialog.close();
  }

  show(row) {
    if (this.row?.row === row.row) return;
    this.row = row;
    this.draw();
    if (!this.dialog.open) {
      document.body.append(this.dialog);
      this.dialog.showModal();
    }
    this.text.focus();
  }

  draw(message = "") {
    const row = this.row;
    this.text = h("textarea", { id: "corrected", rows: "4", spellcheck: "true", oninput: () => this.typed() });
    this.text.value = this.view.drafts.get(row.row) ?? row.caption ?? "";
    this.verdict = h("p", { class: "note verdict", role: "status" });
    this.alert = h("p", { class: "alert", role: "alert" }, message);
    this.history = h("ol", { class: "history" });
    this.save = h("button", { class: "primary", type: "submit" }, "Save");
    this.saveNext = h("button", { type: "button", onclick: () => this.store(true), title: "Ctrl+Enter" }, "Save and next");
    this.back = h("button", { type: "button", onclick: () => this.takeBack(), hidden: row.caption === row.listed }, "Undo the last change");
    this.drawWho();
    const step = (text, by) => h("button", { type: "button", onclick: () => this.go(by) }, text);
    this.dialog.replaceChildren(
      h("h2", { id: "reviewed" }, `Row ${row.row.toLocaleString("en")}`),
      h(
        "div",
        { class: row.picture ? "reviewing" : "reviewing alone" },
        row.picture && h("img", { src: this.view.picture(row, 384), alt: row.caption || "Picture of this row" }),
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
          row.caption !== row.listed && h("p", { class: "note" }, "The list says: ", h("q", {}, row.listed ?? "nothing")),
          this.history,
        ),
      ),
      h(
        "p",
        { class: "note about" },
        aboutRow(row),
        row.group !== null && [h("a", { href: this.view.groupAddress(row) }, "Its group"), " "],
        row.link && h("a", { href: row.link, target: "_blank", rel: "noopener noreferrer" }, "Open its address"),
      ),
      h("p", { class: "line" }, step("Earlier", -1), step("Later", 1), h("button", { type: "button", onclick: () => this.close() }, "Close")),
    );
    this.lint(row.caption === this.text.value ? row : null);
    this.showHistory();
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

  async showHistory() {
    const row = this.row;
    if (!row.changes) return;
    const list = this.history;
    try {
      const changes = await get(this.view.path("/changes"), { row: row.row });
      list.replaceChildren(
        ...changes.map((one) =>
          h(
            "li",
            { class: "note" },
            `${one.who}, ${new Date(one.when).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })}: `,
            one.undo ? "took back to " : "",
            h("q", {}, one.new ?? "nothing"),
          ),
        ),
      );
    } catch (error) {
      list.replaceChildren(h("li", { class: "note" }, error.message));
    }
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

  async go(by) {
    const next = await this.view.beside(this.row, by);
    if (next) this.view.go({ ...this.view.values, row: String(next.row) }, true);
    else this.alert.textContent = by > 0 ? "This is the last row." : "This is the first row.";
  }
}

function aboutRow(row) {
  const parts = [
    row.id,
    row.group !== null && `group ${row.group}, ${row.group_size} rows`,
    row.status !== "listed" && `picture: ${row.status === "ok" ? "there" : row.status}${row.reason ? `, ${row.reason}` : ""}`,
    row.width && `${row.width} \u00d7 ${row.height} pixels`,
  ];
  return `${parts.filter(Boolean).join("; ")}. `;
}
