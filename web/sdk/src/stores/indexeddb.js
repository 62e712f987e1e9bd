// Unsent messages in IndexedDB, which outlive their tab and are shared by all tabs.
// Drafts are in memory: the server has them, but for what was typed last.

import { memoryStore } from "./memory.js";

const settled = (request) =>
  new Promise((done, fail) => {
    request.onsuccess = request.oncomplete = () => done(request.result);
    request.onerror = request.onabort = () => fail(request.error);
  });

async function open(name) {
  const opening = indexedDB.open(name, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("outbox", { keyPath: "request_id" });
  return settled(opening);
}

/**
 * @param {string} [name] of the database
 * @returns {import("../types.js").Store}
 */
export function indexedDBStore(name = "roomgraph") {
  let opened;
  return {
    ...memoryStore(),
    shared: true,
    locks: globalThis.navigator?.locks,
    // One transaction: `act(records, table)` is given all records; other tabs' come before or after it. Rejects when the
    // database cannot be opened, is full, or was removed.
    async step(act) {
      opened ??= open(name);
      opened.catch(() => (opened = null)); // the next step tries again
      const transaction = (await opened).transaction("outbox", "readwrite");
      const table = transaction.objectStore("outbox");
      table.getAll().onsuccess = ({ target }) => act(target.result, table);
      await settled(transaction);
    },
  };
}
