// What the store has of messages on their way: kept until they are acked, and sent by another client when theirs was
// closed, by one only: the one that gets the lock of the closed client's device.

import { wait } from "./wait.js";

const LOOK_MS = 5000;
const SILENT_MS = 90_000; // without locks: a tab silent for so long is closed; hidden ones are slow
const OLD_MS = 30 * 86_400_000;

const lockOf = (device) => `roomgraph ${device}`;

function signal() {
  /** @type {(value?: any) => void} */
  let give = () => {};
  const given = new Promise((done) => (give = done));
  return { given, give };
}

// The lock of this client's device, which keeps others away from its messages. `known`: somebody has it. `mine`: this
// client does; another one with the same device id had it before.
function lockFor({ device, locks }) {
  const [known, mine, end] = [signal(), signal(), signal()];
  const have = () => (mine.give(), end.given);
  const take = (lock) => {
    known.give();
    if (lock) return have();
    locks.request(lockOf(device), have);
  };
  // In a sandboxed frame it is refused.
  if (locks) locks.request(lockOf(device), { ifAvailable: true }, take).catch(known.give);
  else for (const { give } of [known, mine]) give();
  return { known: known.given, mine: mine.given, release: end.give, looks: false };
}

function hold(outbox) {
  outbox.lock ??= lockFor(outbox);
  return outbox.lock;
}

// The client is closed: others may send what it has left.
export function release(outbox) {
  outbox.lock?.release();
  outbox.lock = null;
}

// What is not acked is kept, once it is known whose it is.
export async function keep(outbox, item) {
  if (!outbox.stopped) await hold(outbox).known;
  await outbox.store.step((_, table) => {
    if (item.state === "sent") table.delete(item.request_id);
    else if (item.user && outbox.items.includes(item)) table.put({ ...item, beat: Date.now() });
  });
}

// What this device has left in the store is of no use to another user.
export function forget({ device: own, store }) {
  return store.step((records, table) => {
    for (const { request_id, device } of records) if (device === own) table.delete(request_id);
  });
}

// Called for each connection. First this device's own, from before it was started again; then, again and again, those of
// closed clients.
export async function start(outbox) {
  const lock = hold(outbox);
  const { looks } = lock;
  lock.looks = true;
  for (const item of outbox.items) keep(outbox, item);
  await lock.mine;
  if (outbox.lock !== lock) return;
  await claim(outbox, ({ device }) => device === outbox.device);
  while (!looks && outbox.store.shared && outbox.lock === lock) {
    await takeOver(outbox);
    await wait(LOOK_MS);
  }
}

// Make the user's `wanted` records this device's, in one step, and give up those that another one claimed.
async function claim(outbox, wanted) {
  const { client, device: own, store } = outbox;
  // What is delivered before the store is read is still in it, and on its way no more.
  const known = new Set(outbox.items.map(({ request_id }) => request_id));
  await store.step((records, table) => {
    for (const record of records) {
      const had = outbox.items.findIndex(({ request_id }) => request_id === record.request_id);
      if (had >= 0 && record.device !== own) outbox.items.splice(had, 1);
      if (had >= 0 || known.has(record.request_id) || record.user !== client.me || !wanted(record)) continue;
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
    await locks.request(lockOf(device), { ifAvailable: true }, claimLocked);
  }
}
