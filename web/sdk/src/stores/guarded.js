// A store of the application's: what it cannot do is told, and stops nothing. Messages on their way are in memory as well.

/**
 * `tell(error)` is called when it begins to fail.
 * @param {import("../types.js").Store} store
 * @param {(error: any) => void} tell
 * @returns {import("../types.js").Store}
 */
export function guarded(store, tell) {
  let failing = false;
  const attempt = async (act) => {
    try {
      const result = await act();
      failing = false;
      return result;
    } catch (error) {
      if (!failing) tell(error);
      failing = true;
    }
  };
  return {
    shared: store.shared,
    locks: store.locks,
    step: (act) => attempt(() => store.step(act)),
    draft: (key) => attempt(() => store.draft(key)),
    keepDraft: (key, kept) => void attempt(() => store.keepDraft(key, kept)),
  };
}
