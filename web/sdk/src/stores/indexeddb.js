// Unsent messages and drafts in IndexedDB. They outlive their tab; all tabs share the messages.

const settled = (request) =>
  new Promise((done, fail) => {
    request.onsuccess = request.oncomplete = () => done(request.result);
    request.onerror = request.onabort = () => fail(request.error);
  });

async function open(name, table, options) {
  const opening = indexedDB.open(name, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(table, options);
  return settled(opening);
}

// A database of one table: `act(objectStore)` in one transaction; those of other tabs come before or after it. Resolves
// with what the request that it returns has found. Rejects when the database cannot be opened, is full, or was removed.
function database(name, table, options) {
  let opened;
  return async (act) => {
    opened ??= open(name, table, options);
    opened.catch(() => (opened = null)); // the next one tries again
    const transaction = (await opened).transaction(table, "readwrite");
    const request = act(transaction.objectStore(table));
    await settled(transaction);
    return request.result;
  };
}

/**
 * @param {string} [name] of the database; drafts are in another one beside it
 * @returns {import("../types.js").Store}
 */
export function indexedDBStore(name = "roomgraph") {
  const messages = database(name, "outbox", { keyPath: "request_id" });
  const drafts = database(`${name}-drafts`, "drafts");
  return {
    shared: true,
    locks: globalThis.navigator?.locks,
    // `act(records, table)` is given all records.
    async step(act) {
      await messages((table) => {
        const all = table.getAll();
        all.onsuccess = () => act(all.result, table);
        return all;
      });
    },
    draft: (key) => drafts((table) => table.get(key)),
    keepDraft: (key, kept) => drafts((table) => (kept ? table.put(kept, key) : table.delete(key))),
  };
}
