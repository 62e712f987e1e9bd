// The outbox's records in IndexedDB, which outlive their tab; without IndexedDB nothing is kept.

import { kept } from "../address.js";

const settled = (request) =>
  new Promise((done, fail) => {
    request.onsuccess = request.oncomplete = () => done(request.result);
    request.onerror = request.onabort = fail;
  });

async function open() {
  const opening = indexedDB.open(kept, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("outbox", { keyPath: "request_id" });
  return settled(opening);
}

const opened = open().catch(() => null);

// One transaction: `act(records, table)` is given all records; other tabs' come before or after it.
export async function step(act) {
  try {
    const transaction = (await opened).transaction("outbox", "readwrite");
    const table = transaction.objectStore("outbox");
    table.getAll().onsuccess = ({ target }) => act(target.result, table);
    await settled(transaction);
  } catch {
    // None, full, or removed: messages on their way are in memory only.
  }
}
