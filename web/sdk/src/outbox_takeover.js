// Takes over the messages that closed tabs have left in the store, each on one page only: the one that gets the tab's
// lock, which also keeps the tab closed meanwhile.

import { wait } from "./wait.js";

const LOOK_MS = 5000;
const SILENT_MS = 90_000; // without locks: a tab silent for so long is closed; hidden ones are slow
const OLD_MS = 30 * 86_400_000;

// First this device's own, from before it was started again; then, again and again, those of closed tabs.
export async function run(outbox) {
  await outbox.alive;
  await claim(outbox, ({ device }) => device === outbox.device);
  while (outbox.store.shared && !outbox.stopped) {
    await takeOver(outbox);
    await wait(LOOK_MS);
  }
}

// Make the user's `wanted` records this device's, in one step, and give up those that another one claimed.
async function claim(outbox, wanted) {
  const { client, device: own, store } = outbox;
  await store.step((records, table) => {
    for (const record of records) {
      const had = outbox.items.findIndex(({ request_id }) => request_id === record.request_id);
      if (had >= 0 && record.device !== own) outbox.items.splice(had, 1);
      if (had >= 0 || record.user !== client.me || !wanted(record)) continue;
      Object.assign(record, { device: own, beat: Date.now() });
      table.put(record);
      outbox.items.push(record);
    }
  });
  outbox.items.sort((a, b) => a.order - b.order);
  outbox.pumpAll();
  client.changed();
}

async function takeOver(outbox) {
  const { device: own, locks, store } = outbox;
  const devices = new Set();
  const now = Date.now();
  await store.step((records, table) => {
    for (const record of records) {
      devices.add(record.device);
      if (record.order < now - OLD_MS) table.delete(record.request_id);
      else if (!locks && record.device === own) table.put({ ...record, beat: now });
    }
  });
  if (!locks) return claim(outbox, ({ beat }) => beat < now - SILENT_MS);
  for (const device of devices) {
    const claimLocked = (lock) => lock && claim(outbox, (record) => record.device === device);
    await locks.request(`roomgraph ${device}`, { ifAvailable: true }, claimLocked);
  }
}
