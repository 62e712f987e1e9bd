// Asks before something that cannot be undone, or for a text.

import { $ } from "../dom.js";
import { t } from "../i18n.js";

// Resolves with whether the person agreed. `title` and `act` are words; `danger` marks what loses something.
export async function confirmed({ title, text = "", act, danger = true }) {
  return (await open({ title, text, act, danger })) === "yes";
}

// Resolves with "yes", "other", or "" when the person does neither.
export const choose = ({ title, text, act, other }) => open({ title, text, act, other });

// Resolves with the text, or null.
export async function askText({ title, label, act, value = "" }) {
  const field = $("ask-field").querySelector("input");
  $("ask-field").querySelector("span").textContent = label;
  field.value = value;
  const closed = open({ title, act, field });
  field.select();
  return (await closed) === "yes" ? field.value.trim() : null;
}

function open({ title, text = "", act, danger = false, field, other }) {
  const dialog = $("ask");
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  $("ask-text").hidden = !text;
  $("ask-field").hidden = !field;
  const yes = $("ask-yes");
  yes.textContent = act;
  yes.className = `primary ${danger ? "danger" : ""}`;
  $("ask-other").hidden = !other;
  $("ask-other").textContent = other;
  $("ask-other").onclick = () => dialog.close("other");
  $("ask-not").textContent = t("cancel");
  $("ask-not").onclick = () => dialog.close("");
  dialog.returnValue = "";
  dialog.showModal();
  if (!field) $("ask-not").focus(); // Enter by mistake loses nothing
  return new Promise((done) => (dialog.onclose = () => done(dialog.returnValue)));
}
