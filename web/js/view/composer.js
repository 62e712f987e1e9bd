// Where a message is written: the draft, Enter to send, and a field that grows with its text.

import { $, onSubmit, toast, write } from "../dom.js";
import { t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { state } from "../state.js";

const MAX_BYTES = 16 * 1024;

export function composer(sent) {
  const field = $("text");
  let composing = false; // an input method is at work in the field: it is left alone
  let of;

  function put(value) {
    if (field.value !== value) field.value = value;
    const { parentNode: form } = field;
    form.style.height = `${form.offsetHeight}px`; // the log must not move while the field is measured
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
    form.style.height = "";
    check();
  }

  // An edit, a reply and files.
  const more = () => lazy.writing.loaded;

  // Whether there is something to send.
  const check = () => ($("send").disabled = !field.value.trim() && !more()?.hasFiles());

  function send() {
    const c = state.open;
    const text = field.value.trim().toWellFormed();
    if (!text && !more()?.hasFiles()) return;
    const { read } = new TextEncoder().encodeInto(text, new Uint8Array(MAX_BYTES));
    if (read < text.length) return toast(t("tooLong", { n: text.length - read }));
    if (more()?.send(c, text)) return;
    c.send(text);
    done();
  }

  function done() {
    draw();
    field.focus();
    sent();
  }

  function draw() {
    const c = state.open;
    if (c !== of) {
      more()?.end();
      composing = false;
      if (c && matchMedia("(hover: hover)").matches) field.focus();
      of = c;
    }
    if (c && !more()?.isEditing() && !composing && field.value !== c.draft.text) put(c.draft.text);
    write({ hint: /online|catching/.test(state.link) ? "" : t("waitingHint") });
  }

  field.oninput = () => {
    const { value } = field;
    if (!more()?.isEditing()) state.open?.draft.edit(value);
    put(value);
    state.open?.setTyping(value !== "");
  };
  field.onkeydown = (event) => {
    const { key, shiftKey, ctrlKey, metaKey, isComposing, keyCode } = event;
    if (isComposing || keyCode === 229) return; // Safari sends the key that ends a composition after its end
    if (key === "Escape") more()?.end();
    // On a touch screen there is a button, and no other way to begin a line.
    const sends = ctrlKey || metaKey || !(shiftKey || matchMedia("(pointer: coarse)").matches);
    const act = { Enter: sends && send, ArrowUp: !field.value && (() => $("log").querySelector(".edit")?.click()) }[key];
    if (act) act(event.preventDefault());
  };
  field.addEventListener("compositionstart", () => (composing = true));
  field.addEventListener("compositionend", () => {
    composing = false;
    field.oninput();
  });
  onSubmit($("composer"), send);
  put("");
  return { draw, put, check, sent: done };
}
