// Unsent texts that the server does not have yet: kept for a reload of this tab.

import { state } from "../state.js";
import { deviceId, stored } from "../storage.js";

// A duplicated tab has a copy of the storage, and another user may sign in: neither gets these texts.
const owner = () => `${state.me} ${deviceId()}`;
const texts = () => new Map(stored.drafts?.owner === owner() ? stored.drafts.texts : []);

export const keptDraft = (id) => texts().get(id);

// null: the server has it.
export function keepDraft(id, kept) {
  const all = texts();
  if (!kept && !all.has(id)) return;
  if (kept) all.set(id, kept);
  else all.delete(id);
  stored.drafts = { owner: owner(), texts: [...all] };
}
