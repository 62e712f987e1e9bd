// What is loaded of a conversation: its newest entries, and an earlier stretch while that is shown. And the way to an entry.

import { state } from "../state.js";

export const loaded = (c) => (c.aside ? [...c.aside, ...c.entries] : c.entries);

const within = (list, seq) => list?.[seq - list[0]?.seq];

// The entry with this seq as it is now: the last edit of it, when it is not current itself.
export function entryAt(c, seq) {
  let entry = within(c.entries, seq) ?? within(c.aside, seq);
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
