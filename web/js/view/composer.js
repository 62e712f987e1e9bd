// Where a message is written: the draft, Enter to send, and a field that grows with its text.

import { $, onClick, onSubmit, toast, write } from "../dom.js";
import { t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { state } from "../state.js";

const MAX_BYTES = 16 * 1024;

export function composer(sent) {
  const field = $("text");
  let editing = null; // the entry that is edited; its text is not a draft
  let composing = false; // an input method is at work in the field: it is left alone
  let of;

  function put(value) {
    if (field.value !== value) field.value = value;
    const { parentNode: form } = field;
    form.style.height = `${form.offsetHeight}px`; // the log must not move while the field is measured
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
    form.style.height = "";
    $("send").disabled = !value.trim();
  }

  function edit(entry) {
    if (!entry && !editing) return;
    editing = entry;
    $("editing").hidden = !entry;
    put((entry?.data ?? state.open?.draft)?.text ?? "");
    field.focus();
  }

  function send() {
    const c = state.open;
    const entry = editing;
    const text = field.value.trim().toWellFormed();
    if (!text) return;
    if (new TextEncoder().encode(text).length > MAX_BYTES) {
      toast(t("tooLong"));
      return;
    }
    if (entry) return sendEdited(c, entry, text);
    c.send(text);
    sentFrom();
  }

  // An edited message begins its turn again.
  async function sendEdited(c, entry, text) {
    const changes = text !== entry.data.text;
    if (changes && !(await (await lazy.undo.load()).mayUndo(c, entry.seq, t("send")))) return;
    if (state.open === c) edit(null);
    if (changes) c.edit(entry.seq, text);
    sentFrom();
  }

  function sentFrom() {
    draw();
    field.focus();
    sent();
  }

  function draw() {
    const c = state.open;
    if (c !== of) {
      edit(null);
      composing = false;
      if (c && matchMedia("(hover: hover)").matches) field.focus();
      of = c;
    }
    if (c && !editing && !composing && field.value !== c.draft.text) put(c.draft.text);
    write({ hint: /online|catching/.test(state.link) ? "" : t("waitingHint") });
  }

  field.oninput = () => {
    const { value } = field;
    if (!editing) state.open?.draft.edit(value);
    put(value);
    state.open?.setTyping(value !== "");
  };
  field.onkeydown = (event) => {
    const { key, shiftKey, ctrlKey, metaKey, isComposing, keyCode } = event;
    if (isComposing || keyCode === 229) return; // Safari sends the key that ends a composition after its end
    if (key === "Escape") edit(null);
    // On a touch screen there is a button, and no other way to begin a line.
    const sends = ctrlKey || metaKey || !(shiftKey || matchMedia("(pointer: coarse)").matches);
    const act = { Enter: sends && send, ArrowUp: !field.value && (() => $("log").querySelector(".edit")?.click()) }[key];
    if (act) act(event.preventDefault());
  };
  field.onpaste = (event) => lazy.paste.loaded?.onPaste(event);
  field.addEventListener("compositionstart", () => (composing = true));
  field.addEventListener("compositionend", () => {
    composing = false;
    field.oninput();
  });
  onSubmit($("composer"), send);
  onClick({ "cancel-edit": () => edit(null) });
  put("");
  return { draw, edit };
}
