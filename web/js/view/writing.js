// What goes with the text that is being written: an edit of the last message, a reply to one, files.

import { $, onClick, toast } from "../dom.js";
import { t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { state } from "../state.js";

let field; // {put, sent}
let editing = null; // the entry that is edited; its text is not a draft
let replying = null; // the seq of what is replied to

export function begin(page) {
  ({ field } = page);
  onClick({ "cancel-edit": () => edit(null) });
}

export const isEditing = () => Boolean(editing);

export function edit(entry) {
  if (!entry && !editing) return;
  if (entry) reply(null);
  editing = entry;
  $("editing").hidden = !entry;
  field.put((entry?.data ?? state.open?.draft)?.text ?? "");
  $("text").focus();
}

export async function reply(seq) {
  if (replying === seq) return;
  replying = seq;
  if (seq) edit(null);
  const c = state.open;
  const { showReply } = await lazy.replies.load();
  if (replying !== seq) return;
  showReply(c, seq, () => reply(null));
  if (seq) $("text").focus();
}

// The text is a plain message again.
export function end() {
  edit(null);
  reply(null);
}

// Something besides a text: those of an edited message stay.
export const hasFiles = () => Boolean(editing ? editing.data.files : state.open && lazy.attachments.loaded?.filesOf(state.open)[0]);

// Returns whether it has taken the text.
export function send(c, text) {
  if (editing) {
    sendEdited(c, editing, text);
    return true;
  }
  const attachments = lazy.attachments.loaded;
  const files = attachments?.idsOf(c) ?? [];
  if (!files[0] && !hasFiles() && !replying) return false;
  if (attachments?.idsOf(c) === null) {
    toast(t(attachments.hasFailed(c) ? "removeFailed" : attachments.waits(c) ? "filesWait" : "stillUploading"));
    return true;
  }
  c.send(text, { replyTo: replying, files });
  attachments?.clear(c);
  reply(null);
  field.sent();
  return true;
}

// An edited message begins its turn again.
async function sendEdited(c, entry, text) {
  const changes = text !== entry.data.text;
  if (changes && !(await (await lazy.undo.load()).mayUndo(c, entry.seq, t("send")))) return;
  if (state.open === c) edit(null);
  if (changes) c.edit(entry.seq, text); // its files and what it replies to stay
  field.sent();
}
