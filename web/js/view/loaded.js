// What is loaded of a conversation, and what follows from it: reactions and versions. And the way to an entry.

import { earlierAnswers, reactionsIn } from "../../sdk/src/derived.js";
import { state } from "../state.js";

const known = new WeakMap(); // conversation -> {sign, reactions, versions}

// Its newest entries, and an earlier stretch while that is shown.
const loaded = (c) => (c.aside ? [...c.aside, ...c.entries] : c.entries);

// `reactions`: to each seq; `versions`: the earlier answers of each turn, the oldest first.
export function derived(c) {
  const entries = loaded(c);
  const { stream, revised } = c;
  const sign = [entries[0]?.seq, entries.length, c.entries[0]?.seq, stream.hidden.size, stream.position?.epoch, revised].join();
  if (known.get(c)?.sign !== sign) {
    const versions = earlierAnswers(entries, ({ seq }) => stream.hidden.has(seq));
    known.set(c, { sign, reactions: reactionsIn(entries), versions });
  }
  return known.get(c);
}

// The entry with this seq as it is now: the last edit of it, when it is not current itself.
export function entryAt(c, seq) {
  let entry = c.entryAt(seq);
  while (entry && !c.isCurrent(entry)) {
    const { seq: old } = entry;
    const newer = loaded(c).find(({ data }) => data.edits === old || data.replaces === old);
    if (!newer) break;
    entry = newer;
  }
  return entry;
}

// Show an entry, or the first from a time on; of one that is no longer current, the next that is. Resolves with its node.
export async function goTo(log, c, { seq, since }) {
  const found = await c.loadAt({ seq: entryAt(c, seq)?.seq ?? seq, since });
  if (found === null || c !== state.open) return;
  const entry = c.shown.find((one) => one.seq >= found && c.isCurrent(one));
  return entry && log.reveal(entry);
}
