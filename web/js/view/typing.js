// Who is typing: sent, and shown of others. Nothing depends on it.

import { write } from "../dom.js";
import { t } from "../i18n.js";
import { changed, nameOf, onChange, state } from "../state.js";

const REPEAT_MS = 3000;
const STILL_MS = 4000; // without a key press: no longer typing
const SHOWN_MS = 6000; // a "typing" that is not repeated disappears

let connection;
let typedAt = 0;
let still;

export function begin(page) {
  ({ connection } = page);
  onChange(draw);
}

export function setTyping(typing) {
  const now = Date.now();
  clearTimeout(still);
  if (typing) still = setTimeout(() => setTyping(false), STILL_MS);
  if (typing ? now - typedAt < REPEAT_MS : !typedAt) return;
  typedAt = typing ? now : 0;
  const payload = { conversation_id: state.open?.id, typing };
  if (state.open) connection.request("typing:set", payload).catch(() => {});
}

export function onTyping({ typing: typists }, { user_id, typing }) {
  if (typing) typists.set(user_id, Date.now() + SHOWN_MS);
  else typists.delete(user_id);
  setTimeout(changed, SHOWN_MS + 50);
}

function draw() {
  const typists = [...(state.open?.typing ?? [])].filter(([userId, until]) => userId !== state.me && until > Date.now());
  const n = typists.length;
  write({ typing: n ? t("typing", { names: typists.map(([userId]) => nameOf(userId)).join(", "), n }) : "" });
}
