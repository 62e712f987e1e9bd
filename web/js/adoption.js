// Takes what tabs that live no more have left in the outbox. Who gets the lock of a tab knows that it is closed, and
// stays so.

const SILENT_MS = 90_000; // without locks: a tab not heard of for so long is closed; hidden ones are slow
const OLD_MS = 30 * 86_400_000;

export async function adopt(outbox) {
  const { device: own, locks, shelf } = outbox;
  const devices = new Set();
  const now = Date.now();
  await shelf.step((records, store) => {
    for (const record of records) {
      devices.add(record.device);
      if (record.order < now - OLD_MS) store.delete(record.client_id);
      else if (!locks && record.device === own) store.put({ ...record, beat: now });
    }
  });
  if (!locks) return outbox.take(({ beat }) => beat < now - SILENT_MS);
  for (const device of devices) {
    const take = (lock) => lock && outbox.take((record) => record.device === device);
    await locks.request(`roomgraph ${device}`, { ifAvailable: true }, take);
  }
}
