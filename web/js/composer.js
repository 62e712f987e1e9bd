// Where a message is written: the draft, Enter to send, and a field that grows with its text.

import { $, toast } from "./dom.js";
import { t } from "./i18n.js";
import { state } from "./state.js";

const MAX_BYTES = 16 * 1024;
const STILL_MS = 4000; // without a key: not typing any more

export class Composer {
  #of = null;
  #still = 0;

  constructor(actions, sent) {
    Object.assign(this, { actions, sent });
    const text = $("text");
    text.addEventListener("input", () => this.#edited());
    text.addEventListener("compositionend", () => this.#edited());
    text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send();
    });
    $("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
  }

  // Show the draft of the open conversation; a text that is being composed is left alone.
  draw() {
    const c = state.open;
    const text = $("text");
    if (c && text.value !== c.draft.text) {
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
    c.draft.edit(value);
    $("send").disabled = !value.trim();
    this.#fit();
    this.actions.typed(value !== "");
    clearTimeout(this.#still);
    this.#still = setTimeout(() => this.actions.typed(false), STILL_MS);
  }

  #send() {
    const value = $("text").value.trim();
    if (!value || !state.open) return;
    if (new TextEncoder().encode(value).length > MAX_BYTES) {
      toast(t("tooLong"));
      return;
    }
    this.actions.send(state.open, value.toWellFormed?.() ?? value);
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
