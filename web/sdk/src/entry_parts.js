// What an entry says: its text without its questions, and all of it where it came shortened.

const AT_ONCE = 4; // pages on their way

const reading = new WeakMap(); // entry -> promise of its whole data
const had = new WeakMap(); // entry -> the texts of its pages that were read; null: on its way

/**
 * The text of an entry ends with its questions in words, which a user interface shows by their forms.
 * @param {{text?: string, interrupts?: any[]}} data of the entry
 */
export function beforeQuestions({ text = "", interrupts: [{ form = undefined } = {}] = [] }) {
  const [action] = form?.actions ?? [];
  const first = form?.text || action?.description || (action && `${action.name} {`);
  const at = first ? text.lastIndexOf(first) : -1;
  return at < 0 ? text : text.slice(0, at).trimEnd();
}

/**
 * The whole data of an entry. Nothing is read twice: not for two callers, nor what was there when a request failed.
 * @param {import("./conversation.js").Conversation} c
 * @param {any} entry
 * @param {(part: number) => void} [progress] told how much has been read, 0..1
 * @returns {Promise<any>}
 */
export function wholeData(c, entry, progress = () => {}) {
  if (!entry.pages) return Promise.resolve(entry.data);
  if (!reading.has(entry)) {
    const done = read(c, entry, progress);
    reading.set(entry, done);
    done.catch(() => reading.delete(entry));
  }
  return reading.get(entry);
}

async function read(c, entry, progress) {
  const { seq, epoch, pages } = entry;
  const texts = had.get(entry) ?? Array.from({ length: pages });
  had.set(entry, texts);
  let failed = false;
  const next = async () => {
    for (let page; !failed && (page = texts.indexOf(undefined)) >= 0; ) {
      texts[page] = null;
      try {
        const answer = await c.client.connection.ask(c, "entry:read", { seq, page });
        if (answer.epoch !== epoch) throw Object.assign(new Error("The log is another one by now."), { code: "not_found" });
        texts[page] = answer.text;
      } catch (error) {
        texts[page] = undefined;
        failed = true;
        throw error;
      }
      progress(texts.filter((text) => text != null).length / pages);
    }
  };
  // Only when none is on its way may it be tried again.
  const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, next));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
  had.delete(entry);
  return JSON.parse(texts.join(""));
}
