// Who types, told to the others and by them. It is lost before this is there: nothing depends on it.

import { write } from "./dom.js";
import { t } from "./i18n.js";
import { changed, nameOf, onChange, state } from "./state.js";

const REPEAT_MS = 3000;
const STILL_MS = 4000; // without a key: not typing any more
const SHOWN_MS = 6000; // a "typing" that is not repeated is taken back

let connection;
let typedAt = 0;
let still;

export function begin({ actions }) {
  ({ connection } = actions);
  onChange(draw);
}

export function typed(typing) {
  const now = Date.now();
  clearTimeout(still);
  if (typing) still = setTimeout(() => typed(false), STILL_MS);
  if (typing ? now - typedAt < REPEAT_MS : !typedAt) return;
  typedAt = typing ? now : 0;
  const told = { conversation_id: state.open?.id, typing };
  if (state.open) connection.request("typing:update", told).catch(() => {});
}

export function heard({ typing: typists }, { user_id, typing }) {
  if (typing) typists.set(user_id, Date.now() + SHOWN_MS);
  else typists.delete(user_id);
  setTimeout(changed, SHOWN_MS + 50);
}

function draw() {
  const typists = [...(state.open?.typing ?? [])].filter(([userId, until]) => userId !== state.me && until > Date.now());
  const n = typists.length;
  write({ typing: n ? t("typing", { names: typists.map(([userId]) => nameOf(userId)).join(", "), n }) : "" });
}
