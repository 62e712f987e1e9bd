// A long entry comes shortened: reads the rest of it.

/**
 * The entry with all that it says.
 * @param {import("../conversation.js").Conversation} c
 */
export async function wholeEntry(c, entry) {
  if (!entry.pages) return entry;
  const texts = [];
  for (let page = 0; page < entry.pages; page++) {
    const { text } = await c.client.connection.ask(c, "entry:read", { seq: entry.seq, page });
    texts.push(text);
  }
  const { pages, ...rest } = entry;
  return { ...rest, data: JSON.parse(texts.join("")) };
}
