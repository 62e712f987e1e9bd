// Modules that come after the start, so that none is missing when the node or the network is lost.

import { wait } from "./wait.js";

export class Later {
  /** @type {any} the module, once it has arrived */
  loaded = null;
  #tries = 0;
  /** @type {Promise<any> | null} */
  #trying = null;
  /** @type {Promise<any> | null} */
  #loading = null;

  /**
   * @param {(query: string) => Promise<any>} fetch imports it. Some browsers remember that an address has failed: with a
   *   query it is another one.
   * @param {(module: any) => void} [onLoaded]
   */
  constructor(fetch, onLoaded) {
    this.fetch = fetch;
    this.onLoaded = onLoaded;
  }

  // For what comes when it can: never rejects, tries until it is there.
  load() {
    return (this.#loading ??= this.#load());
  }

  // For what somebody waits for: rejects when it cannot be fetched now; the next call tries again.
  now() {
    return (this.#trying ??= this.#try().finally(() => (this.#trying = null)));
  }

  async #load() {
    for (let ms = 1000; !this.loaded; ms = Math.min(30_000, 2 * ms)) await this.now().catch(() => wait(ms));
    return this.loaded;
  }

  async #try() {
    if (this.loaded) return this.loaded;
    const tries = this.#tries++;
    try {
      this.loaded = await this.fetch(tries ? `?${tries}` : "");
    } catch (error) {
      throw Object.assign(error, { code: "offline", retryable: true });
    }
    this.onLoaded?.(this.loaded);
    return this.loaded;
  }
}

/**
 * The SDK's own, by name: whoever makes a client says first how they come. See all_parts.js.
 * @type {Record<string, any>}
 */
export const parts = {};
