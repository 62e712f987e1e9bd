// Messages on their way, kept in IndexedDB beyond their tab. Where there is none, memory has to do.

const OLD_MS = 30 * 24 * 3600 * 1000;

const settled = (request) =>
  new Promise((done, fail) => {
    request.onsuccess = request.oncomplete = () => done(request.result);
    request.onerror = request.onabort = () => fail(request.error);
  });

export class Shelf {
  // Resolves with the database, or with null when the browser gives none.
  #opened = (async () => {
    try {
      const opening = indexedDB.open("roomgraph", 1);
      opening.onupgradeneeded = () => opening.result.createObjectStore("outbox", { keyPath: "client_id" });
      return await settled(opening);
    } catch {
      return null;
    }
  })();

  // One atomic step: whatever other tabs do happens before or after it. `change(record)` returns the record to keep
  // in place of one, null to delete it, or nothing; resolves with those to keep.
  async change(change) {
    return this.#step((store, kept) => {
      store.getAll().onsuccess = ({ target }) => {
        for (const record of target.result) {
          const now = Date.now() - record.order > OLD_MS ? null : change(record);
          if (now === null) store.delete(record.client_id);
          if (now) kept.push(now) && store.put(now);
        }
      };
    });
  }

  put(record) {
    return this.#step((store) => store.put(record));
  }

  delete(clientId) {
    return this.#step((store) => store.delete(clientId));
  }

  async #step(act) {
    const kept = [];
    try {
      const step = (await this.#opened)?.transaction("outbox", "readwrite");
      if (step) act(step.objectStore("outbox"), kept);
      if (step) await settled(step);
    } catch {
      // Full, or taken away: the message is in memory.
    }
    return kept;
  }
}
