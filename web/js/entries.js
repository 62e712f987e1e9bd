// What one conversation looks like, line by line: days, messages, answers, events, and what is on its way.

import { h, icon } from "./dom.js";
import { clock, day, exactly, explain, language, t } from "./i18n.js";
import { nameOf, state } from "./state.js";

const TOGETHER_MS = 5 * 60 * 1000; // messages of one author within this time share one head
const WORDS = ["text", "question", "message", "description", "query"]; // where a question may have them

// Whether an entry is something that was said; the others are told in one line.
const isSaid = ({ data }) => data.user_id && (data.text || data.interrupts);

// The items of the log for `arrange`.
export function lines(c, outbox, actions) {
  const items = [];
  const entries = current(c.entries);
  const { after, upTo } = c.divider ?? {};
  const news = entries.filter((e) => e.seq > after && e.seq <= upTo && isSaid(e) && e.data.user_id !== state.me);
  const push = (key, sign, make) => items.push({ key, sign: `${sign}|${language()}`, make });
  const line = (key, name, text) => push(key, text, () => h(`p.line.${name}`, {}, text));
  line("top", "top", t(c.hasOlder ? "older" : c.first > 1 ? "lost" : "start"));
  let before = null; // the last thing that was said
  let date = "";
  const said = (key, what) => {
    const joined = before?.user_id === what.user_id && new Date(what.ts) - new Date(before.ts) < TOGETHER_MS;
    before = what;
    const asks = what.interrupts ?? [];
    const open = asks.map(({ interrupt_id: id }) => c.asked.has(id) || c.resolved.get(id)?.outcome);
    const sign = [joined, what.mark, what.readers, what.error?.code, nameOf(what.user_id), open].join();
    push(key, sign, (had) => {
      if (had && what.stream) return had;
      const node = bubble({ ...what, joined });
      node.append(...asks.map((one) => question(c, one, asks.length > 1 || !what.text, actions)));
      return node;
    });
  };
  for (const entry of entries) {
    const { seq, ts, type, data, epoch } = entry;
    if (day(new Date(ts)) !== date) {
      date = day(new Date(ts));
      line(`day ${seq}`, "day", date);
      before = null;
    }
    if (entry === news[0]) {
      line("news", "news", t("missed", { n: news.length }));
      before = null;
    }
    const key = data.client_id ?? `${epoch} ${seq}`;
    const told = t(`entry_${type}`, { ...data, name: data.by?.name ?? data.name ?? nameOf(data.user_id) });
    if (isSaid(entry)) {
      const readers = data.user_id === state.me ? readersOf(c, seq) : "";
      said(key, { ...data, ts, readers, mark: readers ? "seen" : "sent", note: data.edits ? t("edited") : told });
    } else {
      line(key, type, told ?? t("unknownEntry", { type }));
      before = null;
    }
  }
  const run = c.answer.current;
  if (run) said(`run ${run.run_id} ${run.attempt}`, { user_id: `agent:${c.graph}`, ts: new Date(), text: "", stream: run });
  for (const item of outbox.of(c.id)) {
    if (item.state === "sent" && item.seq <= c.head) continue;
    const mark = item.state === "sent" ? "sent" : "pending";
    const again = () => outbox.retry(item);
    const drop = () => outbox.remove((other) => other === item);
    said(item.client_id, { ...item, user_id: state.me, mark, again, drop });
  }
  return items;
}

// The entries that still stand: without edited messages and what came of them, and earlier endings of a turn made
// anew. How a question was resolved is told where it was asked.
function current(entries) {
  const edited = new Set();
  const anew = new Set(); // messages whose earlier endings are void
  const standing = ({ seq, type, data }) => {
    const gone = type === "interrupt_resolved" || edited.has(seq) || anew.has(data.input_seq);
    if (data.edits) edited.add(data.edits);
    if (data.edits ?? data.replaces) anew.add(data.edits ?? data.input_seq);
    return !gone;
  };
  return [...entries].reverse().filter(standing).reverse();
}

// One thing that was said; `what` is an entry's data with ts, or a message or answer that is no entry yet.
function bubble(what) {
  const mine = what.user_id === state.me;
  const agent = what.user_id.startsWith("agent:");
  const name = what.name ?? nameOf(what.user_id);
  const date = new Date(what.ts);
  const head = [h("span.name", {}, name), h("time", { title: exactly(date) }, clock(date))];
  const node = h(
    `article.said${mine ? ".mine" : ""}${agent ? ".agent" : ""}${what.joined ? ".joined" : ""}`,
    { title: what.joined ? exactly(date) : "" },
    mine ? null : h("span.face", { "aria-hidden": "true" }, [...name][0].toUpperCase()),
    what.joined ? null : h("header", {}, ...head),
    what.interrupts && !what.text ? null : h("div.text", {}, what.text),
    h("p.note", {}, what.note ?? ""),
  );
  if (what.stream) node.setAttribute("aria-busy", "true");
  if (what.state === "refused") {
    const buttons = [h("button.plain", { onclick: what.again }, t("retry")), h("button.plain", { onclick: what.drop }, t("discard"))];
    node.append(h("p.error", { role: "alert" }, t("refused", { why: explain(what.error) }), ...buttons));
  } else if (mine) {
    const label = what.readers ? t("seenBy", { names: what.readers }) : t(what.mark);
    node.append(h(`span.mark.${what.mark}`, { role: "img", "aria-label": label, title: label }, icon(what.mark)));
  }
  return node;
}

// How to answer a question, or who did; with its `words` where they do not stand above.
function question(c, { interrupt_id, value }, words, actions) {
  const respond = (given) => actions.respond(c, interrupt_id, given);
  const plain = (any) => (typeof any === "string" ? any : JSON.stringify(any));
  const text = plain(WORDS.map((key) => value?.[key]).find((said) => typeof said === "string") ?? value);
  const options = [value?.options ?? []].flat().map((one) => [one?.value ?? one, plain(one?.label ?? one?.value ?? one)]);
  const node = h("fieldset", { "aria-label": text }, words ? h("p", {}, text) : null);
  const done = c.resolved.get(interrupt_id);
  if (done?.by) {
    const chosen = options.find(([given]) => plain(given) === plain(done.value))?.[1] ?? plain(done.value);
    node.append(h("p.note", {}, t("answered", { chosen, name: done.by.name, device: done.by.device_name || done.by.device_id })));
  } else if (!c.asked.has(interrupt_id)) {
    node.append(h("p.note", {}, t("superseded")));
  } else if (options.length) {
    node.append(...options.map(([given, label]) => h("button", { onclick: () => respond(given) }, label)));
  } else {
    const field = h("input", { required: true, "aria-label": t("yourAnswer"), placeholder: t("yourAnswer") });
    const onsubmit = (event) => {
      event.preventDefault();
      respond(field.value);
    };
    node.append(h("form", { onsubmit }, field, h("button", {}, t("answerIt"))));
  }
  return node;
}

const readersOf = (c, seq) =>
  Object.entries(c.reads)
    .filter(([userId, read]) => userId !== state.me && read >= seq)
    .map(([userId]) => nameOf(userId))
    .join(", ");
