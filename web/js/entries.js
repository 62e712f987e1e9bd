// What a stretch of a conversation looks like, line by line, and what is on its way.

import { copy } from "./dom.js";
import { clock, day, explain, t } from "./i18n.js";
import { here, want } from "./later.js";
import { nameOf, state } from "./state.js";

const TOGETHER_MS = 5 * 60_000; // messages of one author within this time share one head

// The entries that are not said are told in one line.
const isSaid = ({ data }) => data.user_id && (data.text || data.interrupts);
const isFinal = ({ data }) => data.run_id && data.user_id;
const isMine = ({ data }) => data.client_id && data.user_id === state.me;
export const byOthers = (entry) => isSaid(entry) && entry.data.user_id !== state.me;

// The same before and after it is in the log.
export const runKey = ({ run_id }) => `run ${run_id}`;
const sentKey = ({ user_id, client_id }) => `${user_id} ${client_id}`;
export const keyOf = ({ seq, data }) => (data.client_id ? sentKey(data) : isFinal({ data }) ? runKey(data) : seq);

// The entries that still stand: without edited messages and what came of them, and earlier endings of a turn made
// anew. How a question was resolved is told where it was asked.
export function standing(entries, waiting = []) {
  const edited = new Set(waiting.map(({ error, edits }) => !error && edits));
  const anew = new Set(); // messages whose earlier endings are void
  const stands = ({ seq, type, data }) => {
    const gone = type === "interrupt_resolved" || edited.has(seq) || anew.has(data.input_seq);
    edited.add(data.edits);
    if (data.edits ?? data.replaces) anew.add(data.edits ?? data.input_seq);
    return !gone;
  };
  return [...entries].reverse().filter(stands).reverse();
}

// The items to show for these entries, and at the end for what comes after them.
export function lines(c, entries, atEnd, { outbox, actions, edit }) {
  const waiting = outbox.of(c.id).filter((item) => item.state !== "sent" || item.seq > c.head);
  const run = c.answer.current;
  const stand = standing(entries, waiting);
  const { after, upTo } = c.divider ?? {};
  const news = stand.filter((entry) => entry.seq > after && entry.seq <= upTo && byOthers(entry));
  const final = !run && stand.findLast(isFinal);
  const message = !waiting.length && stand.findLast(({ type }) => type === "message");
  const newest = waiting.at(-1) ?? stand.findLast(isMine);
  const items = [];
  const rich = here.said;
  if (!rich) want("said");
  let before = {}; // what was said last
  const line = (key, kind, textContent) => {
    items.push({ is: "line", key, set: { className: `line ${kind}`, textContent } });
    before = {};
  };
  // `far`: how far a message has come; `mark`: in words.
  const say = (key, ts, data, more, one, [far = "", mark] = []) => {
    const { user_id, name = nameOf(user_id), text, interrupts = [] } = data;
    const agent = user_id.startsWith("agent:");
    const side = user_id === state.me ? "mine" : agent ? "agent" : "";
    const when = new Date(ts);
    const joined = !agent && before.user_id === user_id && when - before.when < TOGETHER_MS;
    before = { user_id, when };
    const writing = one === run;
    items.push({
      is: "said",
      key,
      set: { className: `said ${side} ${joined ? "joined" : ""} ${far} ${one === newest ? "newest" : ""}`, ariaBusy: writing },
      face: [...name][0].toUpperCase(),
      name,
      time: clock(when),
      steps: rich && agent,
      text: Boolean(text || writing),
      asks: interrupts.map(({ interrupt_id: id }) => `${c.asked.has(id)} ${c.resolved.has(id)}`).join(),
      mark,
      ...more,
      rich: Boolean(rich),
      dress(node, had) {
        if (rich) return rich.dress(node, had, { ...data, agent, writing }, c, actions);
        node.grow = (soFar) => node.querySelector(".text")?.replaceChildren(soFar);
        node.grow(text);
      },
    });
  };
  const older = entries[0]?.seq > c.entries[0]?.seq || c.hasOlder;
  line("top", "", t(older ? "older" : c.first > 1 ? "lost" : "start"));
  let date;
  for (const entry of stand) {
    const { seq, ts, type, data } = entry;
    if (date !== (date = new Date(ts).toDateString())) line(`day ${seq}`, "day", day(new Date(ts)));
    if (entry === news[0]) line("news", "news", t("missed", { n: news.length }));
    const told = t(`entry_${type}`, { ...data, name: data.by?.name ?? data.name ?? nameOf(data.user_id) });
    if (!isSaid(entry)) {
      line(seq, type, told ?? t("unknownEntry", { type }));
      continue;
    }
    const doing = {
      doing: entry === final,
      copy: () => copy(data.text, t("copied")),
      anew: () => actions.regenerate(c, seq),
      note: data.edits ? t("edited") : told,
      edit: isMine(entry) && entry === message && (() => edit(entry)),
    };
    say(keyOf(entry), ts, data, doing, entry, rich && isMine(entry) ? rich.receipt(c, entry) : []);
  }
  if (!atEnd) return items;
  if (run) say(runKey(run), new Date(), { user_id: `agent:${c.graph}`, text: run.text }, { attempt: run.attempt, time: "" }, run);
  for (const item of waiting) {
    const { client_id, error, ts, text } = item;
    const data = { user_id: state.me, client_id, text };
    const failed = error && {
      why: t("refused", { why: explain(error) }),
      again: () => outbox.retry(item),
      drop: () => outbox.remove((other) => other === item),
    };
    const far = item.state === "sent" ? "sent" : "pending";
    say(sentKey(data), ts, data, { failed: Boolean(error), ...failed }, item, error ? [] : [far, t(far)]);
  }
  return items;
}
