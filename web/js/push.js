// Whether this device is notified by Web Push: switched on and off, and kept in step with the server. A browser has one
// subscription for all who use it: it belongs to one user, and ends when another one comes.

import { stored } from "./storage.js";

// As `PushManager` wants the server's key.
function bytes(base64url) {
  const text = atob(base64url.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

const plain = (subscription) => {
  const { endpoint, keys } = subscription.toJSON();
  return { endpoint, keys: { p256dh: keys.p256dh, auth: keys.auth } };
};

const same = (one, other) => one?.length === other.length && one.every((byte, at) => byte === other[at]);

export class Push {
  #manager;
  #key;
  #tell;
  #user;

  // `manager`: the service worker's PushManager. `key`: the server's public one. `tell(subscription or null)` asks the
  // server to send notifications of `user` there.
  constructor(manager, key, user, tell) {
    this.#manager = manager;
    this.#user = user;
    this.#key = bytes(key);
    this.#tell = tell;
  }

  async isOn() {
    return this.#isOurs && Boolean(await this.#manager.getSubscription());
  }

  get #isOurs() {
    return stored.push_user === this.#user;
  }

  // In answer to a click only: a browser asks the person. False when the person does not allow it.
  async turnOn() {
    if ((await Notification.requestPermission()) !== "granted") return false;
    const options = { userVisibleOnly: true, applicationServerKey: this.#key };
    const subscription = await this.#manager.subscribe(options);
    try {
      await this.#tell(plain(subscription));
    } catch (error) {
      await subscription.unsubscribe();
      throw error;
    }
    stored.push_user = this.#user;
    return true;
  }

  async turnOff() {
    stored.push_user = null;
    await (await this.#manager.getSubscription())?.unsubscribe();
    await this.#tell(null);
  }

  // At the start: the server may have forgotten the device, or have another key, for which one subscribes again.
  async keep() {
    const subscription = await this.#manager.getSubscription();
    if (!subscription) return;
    if (!this.#isOurs) return this.#end(subscription); // a user whose session has ended here is told nothing any more
    const kept = subscription.options?.applicationServerKey;
    if (!kept || same(new Uint8Array(kept), this.#key)) return this.#tell(plain(subscription));
    await subscription.unsubscribe();
    return this.turnOn();
  }

  #end(subscription) {
    stored.push_user = null;
    return subscription.unsubscribe();
  }
}

// What this browser has for it; null when it, or the page's service worker, is not there.
export async function pushManager() {
  if (!globalThis.PushManager || !globalThis.Notification || !navigator.serviceWorker) return null;
  return (await navigator.serviceWorker.getRegistration())?.pushManager ?? null;
}

// This browser takes no more notifications for the person who signs out.
export async function endPush(user) {
  if (stored.push_page === user) stored.push_page = null;
  if (stored.push_user !== user) return;
  stored.push_user = null;
  await (await (await pushManager())?.getSubscription())?.unsubscribe();
}
