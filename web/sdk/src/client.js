// A user's device: wires connection, outbox and conversations together, and gives each event to its handler.

import { Connection, failure } from "./connection.js";
import { Following } from "./following.js";
import { parts } from "./later.js";
import { Outbox } from "./outbox.js";
import { random } from "./wait.js";

/**
 * What `connect` takes.
 * @typedef {object} Options
 * @property {string} [url] the address of a node, which may have a path
 * @property {string[]} [urls] or of several; nodes name the others, once connected
 * @property {string | ((expired: boolean) => string | Promise<string>)} token a JWT, or what gives one: it is called
 *   for each connection, and with `true` when the last one has expired. One that stays the same then, or an empty one,
 *   ends the client; when it rejects it is called again later, as for a connection that could not be made.
 * @property {string} [deviceId] keep it, and the server knows the device again; made by chance otherwise
 * @property {string} [deviceName]
 * @property {import("./types.js").Store} [store] where unsent messages and drafts are kept: IndexedDB where there is
 *   one, otherwise memory
 * @property {boolean} [fixed] connect to `urls` only, whatever other nodes are named
 * @property {boolean} [bot] the messages of this device are a program's
 */

/**
 * And what the package gives, or the page.
 * @typedef {object} Given
 * @property {Function} [io] of socket.io-client
 * @property {any} [snapshots] what `getSnapshot` gives: the module
 * @property {import("./types.js").Store} store
 */

// An agent that has not written yet is called as the server will call it: `support_agent` is Support Agent.
const agentName = (graph) =>
  graph.replace(/[_.:-]+/g, " ").trim().toLowerCase().replace(/(?<!\p{L})\p{L}/gu, (letter) => letter.toUpperCase()) || graph;

export class Client {
  me = ""; // this user's id
  name = "";
  node = "";
  graphs = []; // names, the default's first
  /** @type {import("./types.js").ClientSnapshot["devices"]} this user's; `here`: this one */
  devices = [];
  limits = {};
  features = [];
  pushKey = ""; // with which a browser subscribes to notifications, where the server sends them
  /** @type {Map<string, import("./conversation.js").Conversation>} those of the user, and those that are being opened */
  conversations = new Map();
  names = new Map(); // by user id, as met in entries
  /** @type {import("./types.js").ProtocolError | null} why the client has ended, or why it is not connected or in step yet */
  error = null;
  ended = false;
  met = false; // there has been a connection
  whenConnected = async () => {}; // awaited once what was followed is in step; what it rejects with is tried again
  #listeners = new Set();
  #events = new Map(); // name -> set of functions
  /** @type {any} the last one */
  #snapshot = null;
  /** @type {Set<any> | null} conversations of which something may have changed since; null: anything may have */
  #touched = null;
  #due = false;
  #token = ""; // that the last connection was made with
  /** @type {Promise<string> | null} of a token */
  #asked = null;
  /** @type {import("./types.js").ProtocolError | null} by which the last one was refused */
  #expired = null;
  #renewed = false; // it was given in place of one that had expired

  /** @param {Omit<Options, "store"> & Given} options */
  constructor({ url, urls = url ? [url] : [], store, deviceId = `device-${random(3)}`, ...options }) {
    this.options = options;
    this.store = store;
    this.deviceId = deviceId;
    const { io, fixed } = options;
    urls = urls.map((one) => one.replace(/\/+$/, ""));
    this.connection = new Connection({ io, urls, fixed, auth: () => this.#auth() }, {
      changed: (error = this.error) => {
        this.error = error;
        this.changed();
      },
      refused: (error) => this.#refused(error),
      failed: () => this.emit("failed"),
      ready: (payload) => this.#onReady(payload),
      event: (name, payload) => this.#onEvent(name, payload),
    });
    this.outbox = new Outbox(this);
    this.following = new Following(this);
  }

  /** Connect, and stay connected until `close`. */
  connect() {
    this.ended = false;
    this.error = this.connection.ended = null;
    // In browsers and workers.
    globalThis.addEventListener?.("online", this.#checkNetwork);
    globalThis.addEventListener?.("offline", this.#checkNetwork);
    this.connection.reconnect();
    for (const { draft } of this.conversations.values()) draft.flush();
    return this;
  }

  /**
   * Resolves once there is a connection and all that is followed is in step; rejects when the client ends before.
   * @returns {Promise<void>}
   */
  ready() {
    return new Promise((done, fail) => {
      const look = () => {
        if (this.ended) fail(this.error ?? failure({ code: "closed", message: "The client is closed.", retryable: false }));
        else if (this.link === "online") done();
        else return;
        end();
      };
      const end = this.subscribe(look);
      look();
    });
  }

  /** End the connection; what is not sent stays in the store. */
  close() {
    this.ended = true;
    globalThis.removeEventListener?.("online", this.#checkNetwork);
    globalThis.removeEventListener?.("offline", this.#checkNetwork);
    this.connection.close();
    this.outbox.stop();
    this.changed();
  }

  #checkNetwork = () => this.connection.checkNetwork();

  /**
   * The conversation with this id. It is joined when the client is connected, and followed from then on.
   * @param {string} id
   * @returns {import("./conversation.js").Conversation}
   */
  conversation(id) {
    const c = this.following.add(id);
    if (!c.wanted) c.open().catch(() => {}); // it stands in the snapshot
    return c;
  }

  /**
   * Create a conversation; resolves with its id. The fields are those of `conversation:create`. The same again, after
   * an error, creates nothing more.
   * @param {Partial<import("./protocol.js").ConversationCreate>} [settings]
   * @returns {Promise<string>}
   */
  async create(settings = {}) {
    return (await parts.requests.now()).create(this, settings);
  }

  /**
   * Any other request of the protocol. Waits some seconds for a connection that is being made. What changes something is
   * given a `request_id` and repeated until it is answered, for half a minute at most. Resolves with its ack; rejects
   * with `{code, message, retryable, details}`.
   * @template {keyof import("./protocol.js").Requests} Event
   * @param {Event} event
   * @param {import("./types.js").Payload<Event>} payload
   * @returns {Promise<import("./types.js").Ack<Event>>}
   */
  async request(event, payload) {
    return (await parts.requests.now()).request(this.connection, event, payload);
  }

  // Changes

  /**
   * `listener()` is called soon after something has changed. Returns what ends that.
   * @type {(listener: () => void) => () => void}
   */
  subscribe = (listener) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  /**
   * `listener(...)` is called at each event of this name: see docs/javascript.md. Returns what ends that.
   * @template {keyof import("./types.js").Events} Name
   * @param {Name} name
   * @param {import("./types.js").Events[Name]} listener
   * @returns {() => void}
   */
  on(name, listener) {
    if (!this.#events.has(name)) this.#events.set(name, new Set());
    this.#events.get(name).add(listener);
    return () => void this.#events.get(name).delete(listener);
  }

  emit(name, ...facts) {
    for (const listener of this.#events.get(name) ?? []) {
      try {
        listener(...facts);
      } catch (error) {
        setTimeout(() => { throw error; }); // it is the listener's, and stops nothing here
      }
    }
  }

  // Tell it soon, once for all calls until then. `c`: what has changed is of this conversation only.
  changed(c) {
    if (c) this.#touched?.add(c);
    else this.#touched = null;
    for (const one of c ? [c] : this.conversations.values()) one.outdated = true;
    if (this.#due) return;
    this.#due = true;
    setTimeout(() => {
      this.#due = false;
      for (const listener of this.#listeners) listener();
    }, 0);
  }

  // connecting, online, catching (up), reconnecting, offline or ended
  get link() {
    if (this.ended) return "ended";
    if (this.connection.ready) return this.following.working ? "catching" : "online";
    if (globalThis.navigator?.onLine === false) return "offline";
    return this.met ? "reconnecting" : "connecting";
  }

  // Entries still to be caught up.
  get behind() {
    let sum = 0;
    for (const c of this.conversations.values()) sum += Math.max(0, c.stream.head - c.head);
    return sum;
  }

  /**
   * What is known: the same object for as long as nothing changes.
   * @type {() => import("./types.js").ClientSnapshot}
   */
  getSnapshot = () => {
    if (this.#touched?.size !== 0) this.#snapshot = this.options.snapshots.ofClient(this, this.#snapshot, this.#touched);
    this.#touched = new Set();
    return this.#snapshot;
  };

  // Learn the authors' names; older entries do not replace a newer name.
  learnNames(entries, older) {
    for (const { data } of entries) {
      if (data.name && data.name !== data.user_id && !(older && this.names.has(data.user_id))) this.names.set(data.user_id, data.name);
    }
  }

  nameOf(userId) {
    return this.names.get(userId) ?? (userId?.startsWith("agent:") ? agentName(userId.slice(6)) : userId);
  }

  // The connection

  async #auth() {
    const { deviceName, bot } = this.options;
    const token = await this.askToken();
    if (this.#expired && (!token || token === this.#token)) return this.#end(this.#expired);
    this.#token = token;
    this.#renewed = Boolean(this.#expired);
    this.#expired = null;
    return { token, device_id: this.deviceId, device_name: deviceName, ...(bot && { bot }) };
  }

  // One call at a time, however many attempts to connect and uploads there are meanwhile.
  askToken() {
    return (this.#asked ??= this.#askToken().finally(() => (this.#asked = null)));
  }

  async #askToken() {
    const { token } = this.options;
    try {
      return typeof token === "function" ? await token(Boolean(this.#expired)) : token;
    } catch (error) {
      throw failure({ code: "token_unavailable", message: String(error?.message ?? error) });
    }
  }

  #onReady(payload) {
    const { node, user_id, name, graphs, devices, limits = {}, features = [], push_key: pushKey = "" } = payload;
    const another = user_id !== this.me;
    Object.assign(this, { node, me: user_id, name, graphs, limits, features, pushKey, error: null });
    this.names.set(user_id, name);
    if (another) for (const c of this.conversations.values()) c.restoreDraft();
    this.#setDevices(devices);
    this.emit("ready", payload);
    this.outbox.start();
    this.following.begin(async () => {
      await this.whenConnected();
      this.met = true;
    });
  }

  #setDevices(devices) {
    this.devices = devices.map((one) => ({ ...one, here: one.device_id === this.deviceId }));
  }

  #onEvent(name, payload) {
    if (name === "conversation:changed") this.following.readListSoon();
    else if (name === "devices:changed") this.#setDevices(payload.devices);
    else if (name === "presence:changed") this.following.setOnline(payload);
    else if (name === "session:ended") return this.#refused({ code: `session_${payload.reason}` });
    else if (payload?.conversation_id) this.following.onEvent(name, payload);
    this.emit("event", name, payload);
    this.changed(this.conversations.get(payload?.conversation_id));
  }

  // For good, unless the token has expired and there may be another one.
  #refused(error) {
    if (!/token_expired$/.test(error.code) || typeof this.options.token !== "function") return this.#end(error);
    this.#expired = error;
    // One that has expired meanwhile is renewed at once.
    if (this.#renewed || this.connection.ready) this.connection.renew(this.connection.ready ? null : error);
    else this.connection.reconnect();
  }

  #end(error) {
    if (this.ended) return;
    this.error = error;
    this.connection.ended = failure({ ...error, retryable: false });
    this.close();
    this.emit("ended", error);
  }
}
