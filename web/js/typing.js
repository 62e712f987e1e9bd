// Tells the others that the person types, or has stopped. It is lost before this is there: nothing depends on it.

import { state } from "./state.js";

const REPEAT_MS = 3000;
const STILL_MS = 4000; // without a key: not typing any more

let connection;
let typedAt = 0;
let still;

export const begin = ({ actions }) => ({ connection } = actions);

export function typed(typing) {
  const now = Date.now();
  clearTimeout(still);
  if (typing) still = setTimeout(() => typed(false), STILL_MS);
  if (typing ? now - typedAt < REPEAT_MS : !typedAt) return;
  typedAt = typing ? now : 0;
  const told = { conversation_id: state.open?.id, typing };
  if (state.open) connection.request("typing:update", told).catch(() => {});
}
