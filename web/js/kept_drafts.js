// Unsent texts that the server does not have yet: kept for a reload of this tab. The key names user and device, since a
// duplicated tab has a copy of the storage, and another user may sign in: neither gets these texts.

import { stored } from "./storage.js";

const texts = () => new Map(stored.drafts);

export const draft = (key) => texts().get(key) ?? null;

// null: the server has it.
export function keepDraft(key, kept) {
  const all = texts();
  if (!kept && !all.has(key)) return;
  if (kept) all.set(key, kept);
  else all.delete(key);
  stored.drafts = [...all];
}
