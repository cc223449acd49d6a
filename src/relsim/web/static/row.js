// One row of a list in a dialog: its picture, its caption with what the linter finds, and who changed it when.

import { get } from "./api.js";
import { count, h } from "./dom.js";
import { marked, told } from "./findings.js";

export class RowDialog {
  /** `view` is the view that shows the list; `closed` is called once the dialog is gone. */
  constructor(view, closed) {
    this.view = view;
    this.dialog = h("dialog", { class: "review", "aria-labelledby": "reviewed" });
    this.dialog.addEventListener("close", () => {
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
    this.focus();
  }

  /** The keyboard goes on in the direction in which it went. */
  focus() {
    this.steps[this.by < 0 ? 0 : 1].focus();
  }

  draw() {
    const row = this.row;
    this.alert = h("p", { class: "alert", role: "alert" });
    const verdict = row.anonymous ? "Anonymous: it names nothing." : `Not anonymous: ${told(row.findings)}.`;
    this.frame(
      h(
        "div",
        {},
        h("p", {}, row.caption ? marked(row.caption, row.findings) : "no caption"),
        row.caption && h("p", { class: row.anonymous ? "note verdict good" : "note verdict" }, verdict),
        this.alert,
        ...this.changes(),
      ),
    );
  }

  /** Show what there is to say or to do about a caption beside the picture, with what is known of the row below. */
  frame(content) {
    const row = this.row;
    const step = (text, by) => h("button", { type: "button", onclick: () => this.go(by) }, text);
    this.steps = [step("Earlier", -1), step("Later", 1)];
    this.dialog.replaceChildren(
      h("h2", { id: "reviewed" }, `Row ${count(row.row)}`),
      h(
        "div",
        { class: row.picture ? "reviewing" : "reviewing alone" },
        row.picture && h("img", { src: this.view.picture(row, 384), alt: row.caption || "Picture of this row" }),
        content,
      ),
      h(
        "p",
        { class: "note about" },
        aboutRow(row),
        row.group !== null && [h("a", { href: this.view.groupAddress(row) }, "Its group"), " "],
        row.link && h("a", { href: row.link, target: "_blank", rel: "noopener noreferrer" }, "Open its address"),
      ),
      h("p", { class: "line" }, this.steps, h("button", { type: "button", onclick: () => this.close() }, "Close")),
    );
  }

  /** What the list says where another caption stands now, and the changes, which are asked for. */
  changes() {
    const { row } = this;
    const list = h("ol", { class: "history" });
    if (row.changes) this.showChanges(list);
    return [row.caption !== row.listed && h("p", { class: "note" }, "The list says: ", h("q", {}, row.listed ?? "nothing")), list];
  }

  async showChanges(list) {
    try {
      const changes = await get(this.view.path("/changes"), { row: this.row.row });
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

  async go(by) {
    this.by = by;
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
