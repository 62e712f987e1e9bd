// Who is typing: sent, and known of others. Nothing depends on it.

const REPEAT_MS = 3000;
const STILL_MS = 4000; // without a key press: no longer typing
const SHOWN_MS = 6000; // a "typing" that is not repeated disappears

export function setTyping(client, c, typing) {
  const now = Date.now();
  clearTimeout(c.still);
  if (typing) c.still = setTimeout(() => setTyping(client, c, false), STILL_MS);
  if (typing ? now - c.typedAt < REPEAT_MS : !c.typedAt) return;
  c.typedAt = typing ? now : 0;
  client.connection.request("typing:set", { conversation_id: c.id, typing }).catch(() => {});
}

export function onTyping(client, c, { user_id, typing }) {
  clearTimeout(c.typing.get(user_id));
  c.typing.delete(user_id);
  if (typing) c.typing.set(user_id, setTimeout(() => (c.typing.delete(user_id), client.changed(c)), SHOWN_MS));
  client.changed(c);
}
