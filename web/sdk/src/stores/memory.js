// Unsent messages and drafts in memory: they end with the process.

/** @returns {import("../types.js").Store} */
export function memoryStore() {
  const records = new Map();
  const drafts = new Map();
  const table = {
    put: (record) => records.set(record.request_id, structuredClone(record)),
    delete: (requestId) => records.delete(requestId),
  };
  return {
    shared: false,
    async step(act) {
      act([...records.values()].map((record) => structuredClone(record)), table);
    },
    draft: (key) => drafts.get(key) ?? null,
    keepDraft: (key, kept) => (kept ? drafts.set(key, kept) : drafts.delete(key)),
  };
}
