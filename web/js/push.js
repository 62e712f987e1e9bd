// Whether this device is notified by Web Push: switched on and off, and kept in step with the server.

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

  // `manager`: the service worker's PushManager. `key`: the server's public one. `tell(subscription or null)` asks the
  // server to send notifications there.
  constructor(manager, key, tell) {
    this.#manager = manager;
    this.#key = bytes(key);
    this.#tell = tell;
  }

  async isOn() {
    return Boolean(await this.#manager.getSubscription());
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
    return true;
  }

  async turnOff() {
    await (await this.#manager.getSubscription())?.unsubscribe();
    await this.#tell(null);
  }

  // At the start: the server may have forgotten the device, or have another key, for which one subscribes again.
  async keep() {
    const subscription = await this.#manager.getSubscription();
    if (!subscription) return;
    const kept = subscription.options?.applicationServerKey;
    if (!kept || same(new Uint8Array(kept), this.#key)) return this.#tell(plain(subscription));
    await subscription.unsubscribe();
    return this.turnOn();
  }
}

// What this browser has for it; null when it, or the page's service worker, is not there.
export async function pushManager() {
  if (!globalThis.PushManager || !globalThis.Notification || !navigator.serviceWorker) return null;
  return (await navigator.serviceWorker.getRegistration())?.pushManager ?? null;
}

// This browser takes no more notifications for the person who signs out.
export const endPush = async () => (await (await pushManager())?.getSubscription())?.unsubscribe();
