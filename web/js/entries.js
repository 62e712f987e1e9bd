// What one conversation looks like, line by line: days, messages, answers, events, and what is on its way.

import { isSaid } from "./conversation.js";
import { h, icon } from "./dom.js";
import { clock, day, exactly, explain, language, t } from "./i18n.js";
import { nameOf, state } from "./state.js";

const TOGETHER_MS = 5 * 60 * 1000; // messages of one author within this time share one head

// The items of the log for `arrange`.
export function lines(c, outbox) {
  const items = [{ key: "top", sign: `${c.hasOlder}${c.first}`, make: () => top(c) }];
  const missed = c.divider && c.entries.filter((e) => e.seq > c.divider.after && e.seq <= c.divider.upTo && isSaid(e));
  const news = missed?.filter((e) => e.data.user_id !== state.me) ?? [];
  const push = (key, sign, make) => items.push({ key, sign: `${sign}|${language()}`, make });
  let before = null; // the last thing that was said
  let date = "";
  const said = (key, what) => {
    const joined =
      before?.user_id === what.user_id && new Date(what.ts) - new Date(before.ts) < TOGETHER_MS;
    before = what;
    const sign = [joined, what.mark, what.readers, what.error?.code, nameOf(what.user_id)].join();
    push(key, sign, (had) => (had && what.stream ? had : bubble({ ...what, joined })));
  };
  for (const entry of c.entries) {
    const { seq, ts, data, epoch } = entry;
    if (day(new Date(ts)) !== date) {
      date = day(new Date(ts));
      push(`day ${ts.slice(0, 13)} ${seq}`, date, () => h("p.line.day", {}, h("span", {}, date)));
      before = null;
    }
    if (entry === news[0]) {
      push("news", news.length, () => h("p.line.news", {}, h("span", {}, t("missed", { n: news.length }))));
      before = null;
    }
    const key = data.client_id ?? `${epoch} ${seq}`;
    if (isSaid(entry)) {
      const readers = data.user_id === state.me ? readersOf(c, seq) : "";
      said(key, { ...data, ts, readers, mark: readers ? "seen" : "sent" });
    } else {
      push(key, nameOf(data.user_id), () => h(`p.line.${entry.type}`, {}, event(entry)));
      before = null;
    }
  }
  const run = c.answer.current;
  if (run) said(`run ${run.run_id} ${run.attempt}`, { user_id: "agent:concierge", ts: new Date(), text: "", stream: run });
  for (const item of outbox.of(c.id)) {
    if (item.state === "sent" && item.seq <= c.head) continue;
    const mark = item.state === "sent" ? "sent" : "pending";
    const again = () => outbox.retry(item);
    const drop = () => outbox.remove((other) => other === item);
    said(item.client_id, { ...item, user_id: state.me, mark, again, drop });
  }
  return items;
}

// One thing that was said; `what` is an entry's data with ts, or a message or answer that is no entry yet.
function bubble(what) {
  const mine = what.user_id === state.me;
  const agent = what.user_id.startsWith("agent:");
  const name = what.name ?? (agent ? "Concierge" : nameOf(what.user_id));
  const date = new Date(what.ts);
  const text = h("div.text", {}, what.text);
  const head = [h("span.name", {}, name), h("time", { title: exactly(date) }, clock(date))];
  const node = h(
    `article.said${mine ? ".mine" : ""}${agent ? ".agent" : ""}${what.joined ? ".joined" : ""}`,
    { title: what.joined ? exactly(date) : "" },
    mine ? null : h("span.face", { "aria-hidden": "true" }, [...name][0].toUpperCase()),
    what.joined ? null : h("header", {}, ...head),
    text,
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

function top(c) {
  return h("p.line", {}, t(c.hasOlder ? "older" : c.first > 1 ? "lost" : "start"));
}

function event({ type, data }) {
  const name = data.name ?? nameOf(data.user_id);
  const known = { conversation_created: "created", member_joined: "joined", member_left: "left", failed: "failed" };
  return known[type] ? t(known[type], { name, reason: data.reason }) : t("unknownEntry", { type });
}

const readersOf = (c, seq) =>
  Object.entries(c.reads)
    .filter(([userId, read]) => userId !== state.me && read >= seq)
    .map(([userId]) => nameOf(userId))
    .join(", ");
