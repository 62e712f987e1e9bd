// The Vercel AI SDK's transport: `useChat` on a conversation. The chat's id is that of the conversation.

import { asError, follow, until } from "./ai_sdk/follow.js";
import { filesIn, sentFiles, seqOf, toUIMessages } from "./ai_sdk/messages.js";
import { FINAL, messageIdOf, turnOf } from "./ai_sdk/parts.js";
import { answerOf } from "./ai_sdk/questions.js";

export { toUIMessages } from "./ai_sdk/messages.js";

// A stream in which nothing is said.
const silence = () => new ReadableStream({ start: (controller) => controller.close() });

/** A `ChatTransport` of `ai` 7. */
export class RoomgraphTransport {
  #sent = new Map(); // a message's id in the chat -> its request_id
  #resumed = new Map(); // chat id -> the last stream that was resumed
  #stopped = new Set(); // ids of runs that were stopped here
  #looks = new Set(); // of the chats that are kept in step
  #addresses = new Map(); // file id -> its address, or null when it has none
  #unsent = 0; // counts messages that were stopped before they were sent

  /** @param {import("./client.js").Client} client */
  constructor(client) {
    this.client = client;
  }

  /**
   * Messages to begin with, once the conversation is in step.
   * @param {string} chatId
   * @returns {Promise<any[]>}
   */
  async messages(chatId) {
    const c = await this.#inStep(chatId);
    const { entries, resolved } = c.getSnapshot();
    await this.#learnAddresses(c, filesIn(entries));
    return toUIMessages(entries, resolved, this.#addresses);
  }

  // Where the files can be read for some minutes.
  async #learnAddresses(c, ids) {
    const learn = async (id) => this.#addresses.set(id, await c.fileUrl(id).catch(() => null));
    await Promise.all(ids.map(learn));
  }

  /**
   * Send the last message, or the answers to the agent's questions: approvals that were given in the chat, and
   * `body: { answers: { [interrupt_id]: value } }`.
   * @param {{trigger: "submit-message" | "regenerate-message", chatId: string, messageId?: string, messages: any[],
   *   abortSignal?: AbortSignal, body?: any}} options
   * @returns {Promise<ReadableStream<any>>}
   */
  async sendMessages({ trigger, chatId, messageId, messages, abortSignal, body }) {
    const c = this.client.conversation(chatId);
    const last = messages.at(-1);
    const going =
      trigger === "regenerate-message" ? this.#regenerate(c, messageId)
      : last?.role === "assistant" ? this.#answer(c, last, body?.answers ?? {})
      : this.#send(c, last, messageId, abortSignal);
    // Whoever stops before the server has answered means the run that there will be; and what has not left does not.
    const stop = () => {
      this.#unsend(c, last);
      going.then((run) => run && this.#stop(c, run)).catch(() => {});
    };
    const run = await Promise.race([going, aborted(abortSignal, stop)]);
    return run ? this.#follow(c, run) : silence();
  }

  /**
   * The message that is being written, from its beginning on; null when there is none.
   * @param {{chatId: string, abortSignal?: AbortSignal}} options
   * @returns {Promise<ReadableStream<any> | null>}
   */
  async reconnectToStream({ chatId, abortSignal }) {
    const resumed = {};
    this.#resumed.set(chatId, resumed);
    let run = null;
    // A chat that resumes again ends the stream before, which is no wish to stop the run.
    const stop = () => queueMicrotask(() => run && this.#resumed.get(chatId) === resumed && this.#stop(c, run));
    const c = this.client.conversation(chatId);
    await Promise.race([this.#inStep(chatId), aborted(abortSignal, stop)]);
    run = c.stream.current ?? null;
    return run && this.#follow(c, run);
  }

  /**
   * Show in this chat what happens elsewhere: messages of others and of the user's other devices, and their answers
   * while they are written. Returns what ends that.
   * @param {{id: string, status: string, messages: any[], resumeStream: () => Promise<void>}} chat a `Chat`
   * @returns {() => void}
   */
  keepInStep(chat) {
    const c = this.client.conversation(chat.id);
    let shown = "";
    let learning = null; // promise of the addresses of files
    const look = () => {
      if (!this.#looks.has(look) || !c.loaded || c.stream.syncing || chat.status === "submitted" || chat.status === "streaming") return;
      const { entries, resolved, run, pending } = c.getSnapshot();
      const unknown = filesIn(entries).filter((id) => !this.#addresses.has(id));
      if (unknown[0]) {
        learning ??= this.#learnAddresses(c, unknown).then(() => (learning = null)).then(look);
        return;
      }
      const now = JSON.stringify([entries.map((entry) => [entry.seq, "deleted" in entry.data]), resolved.size, this.#unsent]);
      if (shown !== now && !pending.length) chat.messages = toUIMessages(entries, resolved, this.#addresses);
      shown = now;
      if (run && !this.#stopped.has(run.run_id)) chat.resumeStream();
    };
    this.#looks.add(look);
    const unsubscribe = c.subscribe(look);
    look();
    return () => {
      this.#looks.delete(look);
      unsubscribe();
    };
  }

  #follow(c, { turn_id, run_id }) {
    // A chat is ready for what happened meanwhile only after its stream has ended.
    return follow(c, turn_id, run_id, () => setTimeout(() => this.#looks.forEach((look) => look())));
  }

  #stop(c, run) {
    this.#stopped.add(run.run_id);
    return c.stop(run).catch(() => {});
  }

  async #inStep(chatId) {
    const c = this.client.conversation(chatId);
    await until(c, () => c.loaded && !c.stream.syncing);
    return c;
  }

  // Resolves with the run that answers; with null when there is none.
  async #send(c, message, messageId, signal) {
    const { id, parts } = message;
    const text = parts.filter(({ type }) => type === "text").map((part) => part.text).join("\n\n");
    await this.#inStep(c.id);
    const files = await sentFiles(c, parts, signal);
    if (signal?.aborted) return null;
    const requestId = messageId ? c.edit(this.#seqOf(c, messageId), text, { files }) : c.send(text, { files });
    this.#sent.set(id, requestId);
    const { connection, outbox } = this.client;
    const entry = await until(c, () => {
      const item = outbox.items.find(({ request_id }) => request_id === requestId);
      if (item?.state === "refused") {
        c.drop(item);
        return item;
      }
      // What was stopped may have left with an earlier connection.
      const unsent = signal?.aborted && !item && connection.ready && !c.stream.syncing;
      return sent(c, requestId) ?? (unsent && { data: {} });
    });
    if (entry.state === "refused") throw asError(entry.error);
    const { run_id } = entry.data;
    return run_id ? { turn_id: entry.turn_id, run_id } : null;
  }

  // A message that waits for a connection, or until the server takes more.
  #unsend(c, message) {
    const { connection, outbox } = this.client;
    const requestId = this.#sent.get(message?.id);
    const item = outbox.items.find(({ request_id, state }) => request_id === requestId && state === "waiting");
    if (!item || (connection.ready && !item.delayed)) return;
    this.#unsent++;
    c.drop(item);
  }

  #seqOf(c, messageId) {
    return seqOf(messageId) || sent(c, this.#sent.get(messageId))?.seq;
  }

  async #regenerate(c, messageId) {
    await this.#inStep(c.id);
    const turn = turnOf(messageId);
    const of = (entry) => FINAL.has(entry.type) && c.isCurrent(entry) && (!turn || entry.turn_id === turn);
    const entry = c.entries.findLast(of);
    if (!entry) throw asError({ code: "not_latest", message: "There is no such answer." });
    const { run_id } = await c.regenerate(entry.seq);
    return { turn_id: entry.turn_id, run_id };
  }

  // Answer the questions of a turn; resolves with the run that goes on, or with the one that has asked.
  async #answer(c, message, answers) {
    await this.#inStep(c.id);
    const decided = new Map();
    for (const { state, approval } of message.parts) if (state === "approval-responded") decided.set(approval.id, approval);
    const values = new Map(Object.entries(answers));
    for (const question of c.stream.interrupts.values()) {
      const value = answerOf(question, decided);
      if (value !== undefined && !values.has(question.interrupt_id)) values.set(question.interrupt_id, value);
    }
    for (const [id, value] of values) await c.respond(id, value);
    const found = (id) => c.entries.find(({ type, data }) => type === "interrupt_resolved" && data.interrupt_id === id);
    const resolved = await until(c, () => [...values.keys()].every(found) && [...values.keys()].map(found));
    const next = resolved.find(({ data }) => data.run_id);
    if (next) return { turn_id: next.turn_id, run_id: next.data.run_id };
    const ofTurn = (entry) => FINAL.has(entry.type) && messageIdOf(entry.turn_id) === message.id;
    const asked = c.entries.findLast(ofTurn);
    return asked ? { turn_id: asked.turn_id, run_id: asked.data.run_id } : null;
  }
}

const sent = (c, requestId) =>
  c.entries.find(({ type, data }) => type === "message" && data.request_id === requestId && data.user_id === c.client.me);

// Rejects when the signal is given, after `act`.
function aborted(signal, act) {
  return new Promise((_, fail) => {
    const abort = () => {
      act();
      fail(Object.assign(new Error("stopped"), { name: "AbortError" }));
    };
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
  });
}
