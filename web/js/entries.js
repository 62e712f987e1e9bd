// What a stretch of a conversation looks like, line by line: days, messages, answers, events, and what is on its way.

import { copy } from "./dom.js";
import { clock, day, explain, t } from "./i18n.js";
import { Markdown, plain } from "./markdown.js";
import { question } from "./question.js";
import { nameOf, state } from "./state.js";
import { showSteps } from "./tools.js";

const TOGETHER_MS = 5 * 60 * 1000; // messages of one author within this time share one head

// Whether an entry is something that was said; the others are told in one line.
const isSaid = ({ data }) => data.user_id && (data.text || data.interrupts);
const isFinal = ({ data }) => data.run_id && data.user_id;
const isMine = ({ data }) => data.client_id && data.user_id === state.me;
export const byOthers = (entry) => isSaid(entry) && entry.data.user_id !== state.me;

export const runKey = ({ run_id }) => `run ${run_id}`;
export const keyOf = (entry) => {
  const { client_id, user_id } = entry.data;
  return client_id ? `${user_id} ${client_id}` : isFinal(entry) ? runKey(entry.data) : entry.seq;
};

// The entries that still stand: without edited messages and what came of them, and earlier endings of a turn made
// anew. How a question was resolved is told where it was asked.
export function standing(entries, waiting = []) {
  const edited = new Set(waiting.map((item) => !item.error && item.edits));
  const anew = new Set(); // messages whose earlier endings are void
  const stands = ({ seq, type, data }) => {
    const gone = type === "interrupt_resolved" || edited.has(seq) || anew.has(data.input_seq);
    if (data.edits) edited.add(data.edits);
    if (data.edits ?? data.replaces) anew.add(data.edits ?? data.input_seq);
    return !gone;
  };
  return [...entries].reverse().filter(stands).reverse();
}

// The items to show for these entries, and at the log's end for what comes after them.
export function lines(c, entries, atEnd, { outbox, actions, edit }) {
  const waiting = outbox.of(c.id).filter((item) => item.state !== "sent" || item.seq > c.head);
  const run = c.answer.current;
  const stand = standing(entries, waiting);
  const { after, upTo } = c.divider ?? {};
  const news = stand.filter((entry) => entry.seq > after && entry.seq <= upTo && byOthers(entry));
  const final = !run && stand.findLast(isFinal);
  const message = !waiting.length && stand.findLast(({ type }) => type === "message");
  const newest = !waiting.length && stand.findLast(isMine);
  const items = [];
  let before = {}; // the last thing that was said
  const line = (key, kind, text) => {
    items.push({ is: "line", key, set: { className: `line ${kind}`, textContent: text } });
    before = {};
  };
  const say = (key, ts, { user_id, name = nameOf(user_id), text, interrupts = [], tools = [] }, { kind = "", ...more }) => {
    const mine = user_id === state.me;
    const agent = user_id.startsWith("agent:");
    const when = new Date(ts);
    const joined = !agent && before.user_id === user_id && when - before.when < TOGETHER_MS;
    before = { user_id, when };
    const dress = (node, had) => {
      const part = (name, of = node) => of.querySelector(name);
      const body = part(".text");
      const keep = had && !had.ariaBusy;
      if (keep) body?.replaceWith(part(".text", had));
      else if (agent && body) (node.markdown = new Markdown(body)).show(text);
      else body?.append(...plain(text));
      if (agent && had) part(".steps").replaceWith(part(".steps", had));
      if (agent && !keep) showSteps(part(".steps"), had?.updates ?? tools.map((tool) => ({ tool })), more.attempt);
      part(".asks")?.replaceChildren(...interrupts.map((one) => question(c, one, interrupts.length > 1 || !text, actions)));
      if (more.attempt) node.ariaBusy = "true";
    };
    const className = `said ${mine ? "mine" : agent ? "agent" : ""} ${joined ? "joined" : ""} ${kind}`;
    const asks = interrupts.map(({ interrupt_id: id }) => `${c.asked.has(id)} ${c.resolved.has(id)}`).join();
    const head = { face: [...name][0].toUpperCase(), name, time: clock(when), steps: agent, text: Boolean(text || more.attempt) };
    items.push({ is: "said", key, set: { className, title: joined ? clock(when) : "" }, ...head, asks, ...more, dress });
  };
  const older = entries[0]?.seq > c.entries[0]?.seq || c.hasOlder;
  line("top", "", t(older ? "older" : c.first > 1 ? "lost" : "start"));
  let date;
  for (const entry of stand) {
    const { seq, ts, type, data } = entry;
    if (date !== (date = new Date(ts).toDateString())) line(`day ${seq}`, "day", day(new Date(ts)));
    if (entry === news[0]) line("news", "news", t("missed", { n: news.length }));
    const told = t(`entry_${type}`, { ...data, name: data.by?.name ?? data.name ?? nameOf(data.user_id) });
    const doing = entry === final && { doing: true, copy: () => copy(data.text, t("copied")), anew: () => actions.regenerate(c, seq) };
    if (!isSaid(entry)) line(seq, type, told ?? t("unknownEntry", { type }));
    else {
      say(keyOf(entry), ts, data, {
        ...(isMine(entry) && receipt(c, entry, entry === newest)),
        ...doing,
        note: data.edits ? t("edited") : told,
        edit: isMine(entry) && entry === message && (() => edit(entry)),
      });
    }
  }
  if (!atEnd) return items;
  if (run) say(runKey(run), new Date(), { user_id: `agent:${c.graph}`, text: "" }, { attempt: run.attempt, time: "" });
  for (const item of waiting) {
    const { client_id, error, ts, text } = item;
    const far = item.state === "sent" ? "sent" : "pending";
    const failed = error && { failed: true, why: t("refused", { why: explain(error) }), again: () => outbox.retry(item), drop: () => outbox.remove((one) => one === item) };
    say(`${state.me} ${client_id}`, ts, { user_id: state.me, text }, { ...(failed ?? { mark: t(far) }), kind: `${far} ${item === waiting.at(-1) ? "newest" : ""}` });
  }
  return items;
}

// How far a message of this person's has come.
function receipt(c, entry, newest) {
  const readers = Object.entries(c.reads).filter(([userId, read]) => userId !== state.me && read >= entry.seq);
  const n = c.deliveredTo(entry);
  const far = readers.length ? "read" : n ? "delivered" : "sent";
  const names = readers.map(([userId]) => nameOf(userId)).join(", ");
  return { kind: `${far} ${newest ? "newest" : ""}`, mark: t(far, { n, names }) };
}
