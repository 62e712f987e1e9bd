// Where a message is written: the draft, Enter to send, and a field that grows with its text.

import { $, toast } from "./dom.js";
import { t } from "./i18n.js";
import { state } from "./state.js";

const MAX_BYTES = 16 * 1024;
const STILL_MS = 4000; // without a key: not typing any more

export class Composer {
  #editing = null; // the entry that is said anew; its text is no draft
  #of = null;
  #still = 0;

  constructor(actions, sent) {
    Object.assign(this, { actions, sent });
    const text = $("text");
    text.oninput = () => this.#typed();
    text.onkeydown = (event) => {
      const { key, shiftKey, isComposing } = event;
      if (key === "Escape") this.edit(null);
      if (key === "ArrowUp" && !text.value) $("log").querySelector(".edit")?.click();
      else if (key === "Enter" && !shiftKey && !isComposing) this.#send();
      else return;
      event.preventDefault();
    };
    $("composer").onsubmit = (event) => this.#send(event.preventDefault());
    $("cancel-edit").onclick = () => this.edit(null);
  }

  // Say a message anew, or go on with the draft.
  edit(entry) {
    if (!entry && !this.#editing) return;
    this.#editing = entry;
    $("editing").hidden = !entry;
    this.#put(entry?.data.text ?? state.open?.draft.text ?? "");
    $("text").focus();
  }

  // Show the draft of the open conversation; a text that is being composed is left alone.
  draw() {
    const c = state.open;
    const text = $("text");
    if (c !== this.#of) {
      this.edit(null);
      if (c && matchMedia("(hover: hover)").matches) text.focus();
      this.#of = c;
    }
    if (c && !this.#editing && text.value !== c.draft.text) this.#put(c.draft.text);
    $("send").disabled = !text.value.trim();
    $("hint").textContent = /online|catching/.test(state.link) ? "" : t("waitingHint");
  }

  #typed() {
    const { value } = $("text");
    if (!this.#editing) state.open.draft.edit(value);
    this.#put(value);
    this.actions.typed(value !== "");
    clearTimeout(this.#still);
    this.#still = setTimeout(() => this.actions.typed(false), STILL_MS);
  }

  #send() {
    const c = state.open;
    const entry = this.#editing;
    const text = $("text").value.trim().toWellFormed();
    if (!text || !c) return;
    if (new TextEncoder().encode(text).length > MAX_BYTES) {
      toast(t("tooLong"));
      return;
    }
    this.edit(null);
    if (!entry) this.actions.send(c, text);
    else if (text !== entry.data.text) this.actions.edit(c, entry.seq, text);
    this.draw();
    $("text").focus();
    this.sent();
  }

  #put(value) {
    const text = $("text");
    if (text.value !== value) text.value = value;
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight}px`;
    $("send").disabled = !value.trim();
  }
}
