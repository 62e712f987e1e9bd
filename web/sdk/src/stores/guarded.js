// A store of the application's: what it cannot do is told, and stops nothing. Messages on their way are in memory as well.

/**
 * `tell(error)` is called when it begins to fail.
 * @param {import("../types.js").Store} store
 * @param {(error: any) => void} tell
 * @returns {import("../types.js").Store}
 */
export function guarded(store, tell) {
  let failing = false;
  const failed = (error) => {
    if (!failing) tell(error);
    failing = true;
  };
  const attempt = async (act) => {
    try {
      await act();
      failing = false;
    } catch (error) {
      failed(error);
    }
  };
  return {
    shared: store.shared,
    locks: store.locks,
    step: (act) => attempt(() => store.step(act)),
    draft(key) {
      try {
        return store.draft(key);
      } catch (error) {
        failed(error);
        return null;
      }
    },
    keepDraft: (key, kept) => void attempt(() => store.keepDraft(key, kept)),
  };
}
