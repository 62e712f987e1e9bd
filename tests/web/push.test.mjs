// Notifications of this device: permission, subscription and server stay in step.

import "./browser.mjs";
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

const { endPush, Push } = await import("../../web/js/push.js");
const { stored } = await import("../../web/js/storage.js");

const KEY = "AQID_-8";
const bytes = (...values) => new Uint8Array(values);
let permission, manager, told;

// A browser's PushManager, with a subscription or none.
class Manager {
  had = null;
  asked = [];

  async getSubscription() {
    return this.had;
  }

  async subscribe(options) {
    this.asked.push(options);
    const { applicationServerKey } = options;
    const keys = { p256dh: "p", auth: "a", more: "m" };
    return (this.had = {
      options: { applicationServerKey: applicationServerKey.buffer },
      toJSON: () => ({ endpoint: "https://push.example/1", expirationTime: null, keys }),
      unsubscribe: async () => Boolean((this.had = null)) || true,
    });
  }
}

beforeEach(() => {
  permission = "granted";
  globalThis.Notification = { requestPermission: async () => permission };
  manager = new Manager();
  told = [];
  stored.push_user = null;
});

const push = (key = KEY, tell = async (subscription) => told.push(subscription), user = "ann") => new Push(manager, key, user, tell);

test("a device that is switched on subscribes with the server's key, and the server is told", async () => {
  assert.equal(await push().turnOn(), true);
  assert.deepEqual([...manager.asked[0].applicationServerKey], [1, 2, 3, 255, 239]);
  assert.equal(manager.asked[0].userVisibleOnly, true);
  assert.deepEqual(told, [{ endpoint: "https://push.example/1", keys: { p256dh: "p", auth: "a" } }]);
  assert.equal(await push().isOn(), true);
});

test("without the person's permission nothing is subscribed", async () => {
  permission = "denied";
  assert.equal(await push().turnOn(), false);
  assert.deepEqual([manager.asked, told], [[], []]);
});

test("a subscription that the server refuses is ended", async () => {
  const refusing = push(KEY, async () => {
    throw new Error("refused");
  });
  await assert.rejects(refusing.turnOn());
  assert.equal(await push().isOn(), false);
});

test("a device that is switched off takes no more, and the server is told", async () => {
  await push().turnOn();
  await push().turnOff();
  assert.deepEqual([manager.had, told.at(-1)], [null, null]);
});

test("at the start the server is told again, and another key makes another subscription", async () => {
  await push().keep();
  assert.deepEqual(told, []);
  await push().turnOn();
  await push().keep();
  assert.equal(told.length, 2);
  assert.equal(manager.asked.length, 1);
  await push("BAUG").keep();
  assert.deepEqual([...manager.asked[1].applicationServerKey], [4, 5, 6]);
  assert.equal(told.length, 3);
});

test("a subscription is one user's: another one who comes is told nothing of it, and ends it", async () => {
  await push().turnOn();
  const others = push(KEY, undefined, "bob");
  assert.equal(await others.isOn(), false);
  await others.keep();
  assert.deepEqual([manager.had, told.length], [null, 1]);
  await others.turnOn();
  assert.deepEqual([await others.isOn(), await push().isOn()], [true, false]);
  await endPush("ann");
  assert.equal(stored.push_user, "bob", "another tab's user who signs out ends their own only");
});
