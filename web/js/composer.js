// Where a message is written: the draft, Enter to send, and a field that grows with its text.

import { $, complain, toast } from "./dom.js";
import { t } from "./i18n.js";
import { state } from "./state.js";

const MAX_BYTES = 16 * 1024;
const STILL_MS = 4000; // without a key: not typing any more

export class Composer {
  editing = null; // the entry that is said anew; its text is no draft
  #of = null;
  #still = 0;

  constructor(actions, sent) {
    Object.assign(this, { actions, sent });
    const text = $("text");
    for (const news of ["input", "compositionend"]) text.addEventListener(news, () => this.#edited());
    text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send();
    });
    $("composer").onsubmit = (event) => {
      event.preventDefault();
      this.#send();
    };
    $("cancel-edit").onclick = () => this.edit(null);
  }

  // Say a message anew, or leave it as it was.
  edit(entry) {
    this.editing = entry;
    $("text").value = entry?.data.text ?? state.open.draft.text;
    $("editing").hidden = !entry;
    this.#fit();
    $("text").focus();
  }

  // Show the draft of the open conversation; a text that is being composed is left alone.
  draw() {
    const c = state.open;
    const text = $("text");
    if (this.editing && c !== this.#of && c) this.edit(null);
    if (c && !this.editing && text.value !== c.draft.text) {
      text.value = c.draft.text;
      this.#fit();
    }
    if (c && c !== this.#of && matchMedia("(hover: hover)").matches) text.focus();
    this.#of = c;
    $("send").disabled = !text.value.trim();
    $("hint").textContent = state.link === "online" || state.link === "catching" ? "" : t("waitingHint");
  }

  #edited() {
    const c = state.open;
    if (!c) return;
    const { value } = $("text");
    if (!this.editing) c.draft.edit(value);
    $("send").disabled = !value.trim();
    this.#fit();
    this.actions.typed(value !== "");
    clearTimeout(this.#still);
    this.#still = setTimeout(() => this.actions.typed(false), STILL_MS);
  }

  #send() {
    const c = state.open;
    const { editing } = this;
    const value = $("text").value.trim();
    if (!value || !c) return;
    if (new TextEncoder().encode(value).length > MAX_BYTES) {
      toast(t("tooLong"));
      return;
    }
    const text = value.toWellFormed?.() ?? value;
    if (editing) {
      this.edit(null);
      if (text !== editing.data.text) this.actions.edit(c, editing.seq, text).catch(complain);
    } else {
      this.actions.send(c, text);
    }
    this.draw();
    $("text").focus();
    this.sent();
  }

  #fit() {
    const { style } = $("text");
    style.height = "auto";
    style.height = `${$("text").scrollHeight}px`;
  }
}
