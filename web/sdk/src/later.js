// Modules that come after the start: fetched when first needed, or by `preload`, so that none is missing when the node
// or the network is lost.

import { wait } from "./wait.js";

export class Later {
  loaded = null; // the module, once it has arrived
  #loading;

  // `fetch` imports it. Some browsers remember that an address has failed: `again(query)` imports it under another one.
  constructor(fetch, again, onLoaded) {
    this.fetch = fetch;
    this.again = again;
    this.onLoaded = onLoaded;
  }

  // Never rejects: tries until it is there.
  load() {
    return (this.#loading ??= this.#load());
  }

  async #load() {
    for (let tries = 0; !this.loaded; tries++) {
      const fetched = tries % 2 ? this.again(`?${tries}`) : this.fetch();
      this.loaded = await fetched.catch(() => wait(Math.min(30_000, 1000 * 2 ** tries)));
    }
    this.onLoaded?.(this.loaded);
    return this.loaded;
  }
}

// A bundler follows the first import; the second is for modules that are served as they are.
const part = (file, fetch) => new Later(fetch, (q) => import(/* @vite-ignore */ new URL(file + q, import.meta.url).href));

export const parts = {
  actions: part("./actions.js", () => import("./actions.js")),
  deliveryMarks: part("./delivery_marks.js", () => import("./delivery_marks.js")),
  list: part("./list.js", () => import("./list.js")),
  requests: part("./requests.js", () => import("./requests.js")),
  takeover: part("./outbox_takeover.js", () => import("./outbox_takeover.js")),
  typing: part("./typing.js", () => import("./typing.js")),
};

export const preload = () => Promise.all(Object.values(parts).map((one) => one.load()));
