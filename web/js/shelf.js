// Records in IndexedDB, which outlive their tab. Where the browser gives none, nothing is kept.

const settled = (request) =>
  new Promise((done, fail) => {
    request.onsuccess = request.oncomplete = () => done(request.result);
    request.onerror = request.onabort = fail;
  });

export class Shelf {
  #opened = (async () => {
    const opening = indexedDB.open("roomgraph", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("outbox", { keyPath: "client_id" });
    return settled(opening);
  })().catch(() => null);

  // What other tabs do happens before or after it. `act(records, store)` is given all records.
  async step(act) {
    try {
      const step = (await this.#opened).transaction("outbox", "readwrite");
      const store = step.objectStore("outbox");
      store.getAll().onsuccess = ({ target }) => act(target.result, store);
      await settled(step);
    } catch {
      // None, full, or taken away: what is on its way is in memory.
    }
  }
}
