// What a message replies to: quoted above it, and shown again by a click.

import { $ } from "../dom.js";
import { t } from "../i18n.js";
import { nameOf } from "../state.js";
import { entryAt, goTo } from "./loaded.js";
import { plain } from "./plain.js";

const QUOTED = 160; // characters
const READ = 1000; // of a long text

// {name, text} of the entry.
export function quoteOf(c, seq) {
  const entry = entryAt(c, seq);
  if (!entry) return { name: "", text: t("earlierMessage") };
  const { data } = entry;
  const files = data.files?.map(({ name }) => name).join(", ");
  return { name: data.name ?? nameOf(data.user_id), text: data.deleted ? t("deleted") : plain((data.text ?? "").slice(0, READ)).slice(0, QUOTED) || files || t("noText") };
}

// Bring it into view, and mark it for a moment.
export async function jumpTo(c, seq) {
  const node = await goTo(log, c, { seq });
  if (!node) return;
  node.classList.remove("shown");
  void node.offsetWidth; // begin again
  node.classList.add("shown");
}

let log;
export const begin = (page) => ({ log } = page);

// Show above the field what is replied to; `null`: nothing.
export function showReply(c, seq, onCancel) {
  const box = $("replying");
  box.hidden = !seq;
  $("cancel-reply").onclick = onCancel;
  if (!seq) return;
  const { name, text } = quoteOf(c, seq);
  $("replying-to").textContent = t("replyingTo", { name });
  $("reply-quote").textContent = text;
}
