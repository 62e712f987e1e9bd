// The lines of a stretch of a conversation: entries, the answer being written, and messages on their way.

import { textOf } from "../../sdk/src/stream.js";
import { clock, day, explain, t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { nameOf, state } from "../state.js";
import { hueOf, initialOf } from "./person.js";

const QUOTED = 200; // characters
const TOGETHER_MS = 5 * 60_000; // messages of one author within this time share one head

// Entries that say or ask something are shown as messages, the others in one line.
const isMessage = ({ data }) => !data.deleted && data.user_id && (data.text || data.parts || data.interrupts);
const isFinal = ({ data }) => data.run_id && data.user_id && !data.request_id;
const isMine = ({ data }) => data.request_id && data.user_id === state.me;
export const byOthers = (entry) => isMessage(entry) && entry.data.user_id !== state.me;

// The same before and after it is in the log.
export const runKey = ({ run_id }) => `run ${run_id}`;
const sentKey = ({ user_id, request_id }) => `${user_id} ${request_id}`;
export const keyOf = ({ seq, data }) => (data.request_id ? sentKey(data) : isFinal({ data }) ? runKey(data) : seq);

// The items to show for these entries, and at the end for what follows them.
export function lines(c, entries, atEnd, { connection, outbox, edit, stop, toEnd }) {
  const waiting = outbox.of(c.id).filter((item) => item.state !== "sent" || item.seq > c.head);
  const run = c.stream.current;
  const edited = new Set(waiting.map(({ error, edits }) => !error && edits));
  const shown = entries.filter((entry) => c.isCurrent(entry) && !edited.has(entry.seq));
  const { after, upTo } = c.divider ?? {};
  const news = shown.filter((entry) => entry.seq > after && entry.seq <= upTo && byOthers(entry));
  const final = !run && shown.findLast(isFinal);
  const last = !waiting.length && shown.findLast(({ type }) => type === "message");
  const newest = waiting.at(-1) ?? shown.findLast(isMine);
  const { asked } = c;
  const items = [];
  const content = lazy.entryContent.loaded;
  if (!content) lazy.entryContent.load();
  let before = {}; // the message above
  const line = (key, kind, textContent) => {
    items.push({ is: "line", key, set: { className: `line ${kind}`, textContent } });
    before = {};
  };
  // `far`: how far a message has come; `mark`: in words.
  const message = (key, ts, data, more, one, [far = "", mark] = []) => {
    const { user_id, name = nameOf(user_id), text, interrupts = [] } = data;
    const agent = user_id.startsWith("agent:");
    const side = user_id === state.me ? "mine" : agent ? "agent" : "";
    const when = new Date(ts);
    const joined = !agent && before.user_id === user_id && when - before.when < TOGETHER_MS;
    before = { user_id, when };
    const writing = one === run;
    const said = content && agent;
    items.push({
      is: "message",
      key,
      set: {
        className: `message ${side} ${joined ? "joined" : ""} ${far} ${one === newest ? "newest" : ""}`,
        style: `--hue: ${hueOf(user_id)}`,
        ariaBusy: writing,
        ariaLabel: t("by", { name: side === "mine" ? t("yourself") : name, time: clock(when) }), // also of one without a heading
      },
      face: initialOf(name),
      name,
      time: clock(when),
      steps: said,
      said,
      text: !said && Boolean(text || writing),
      long: one.pages && [],
      asks: interrupts.map(({ interrupt_id: id }) => `${asked.includes(id)} ${c.resolved.has(id)}`).join(),
      mark,
      ...more,
      rich: Boolean(content),
      dress(node, had) {
        if (content) content.dress(node, had, { ...data, agent, writing }, c, connection, one);
        else node.querySelector(".text")?.append(text);
      },
    });
  };
  const older = entries[0]?.seq > c.shown[0]?.seq || c.hasOlder;
  line("top", "", t(older ? "older" : c.first > 1 ? "lost" : "start"));
  let date;
  for (const entry of shown) {
    const { seq, ts, type, data } = entry;
    if (date !== (date = new Date(ts).toDateString())) line(`day ${seq}`, "day", day(new Date(ts)));
    if (entry === news[0]) line("news", "news", t("missed", { n: news.length }));
    const reason = t(`failed_${data.code}`) ?? data.reason;
    const kind = data.deleted ? "deleted" : `entry_${type}${data.by && type.startsWith("member_") ? "_by" : ""}`;
    const event = t(kind, { ...data, who: nameOf(data.user_id), reason, name: data.by?.name ?? data.name ?? nameOf(data.user_id) });
    if (!isMessage(entry)) {
      line(seq, type, event ?? t("unknownEntry", { type }));
      continue;
    }
    const ask = async (what) => (await lazy.requests.load())[what](connection, c, seq, entry);
    const again = async () => {
      if (!(await (await lazy.undo.load()).mayUndo(c, entry.turn_id, t("regenerate")))) return;
      await ask("regenerate");
      toEnd();
    };
    const version = isFinal(entry) && lazy.versions.loaded?.versionOf(c, entry);
    const one = version ? version.one : entry;
    const extras = {
      actions: entry === final,
      copy: () => ask("copyText"),
      regenerate: again,
      versions: version?.n > 1 && `${version.at} / ${version.n}`,
      note: data.edits ? t("edited") : event,
      took: isFinal(entry) && content?.markOf(one),
      edit: isMine(entry) && entry === last && (() => edit(entry)),
      remove: (isMine(entry) || c.role === "owner") && type !== "failed" && (() => ask("remove")),
    };
    const shape = version?.n > 1 ? { ...one.data, version, current: entry } : one.data;
    message(keyOf(entry), one.ts, shape, extras, one, content && isMine(entry) ? content.receipt(c, entry) : []);
  }
  if (!atEnd) return items;
  for (const one of c.stream.runs.values()) {
    const text = textOf(one.parts);
    const asked = c.entries[one.turn_id - c.entries[0]?.seq]?.data.text ?? "…";
    const extras =
      one === run
        ? { version: one.version, note: content?.noteOf(one) }
        : { note: t("queued", { text: asked.slice(0, QUOTED) }), actions: true, stop: () => stop(c, one) };
    message(runKey(one), new Date(), { user_id: `agent:${c.graph}`, text, parts: one.parts }, { ...extras, time: "" }, one, [one.status]);
  }
  for (const item of waiting) {
    const { request_id, error, ts, text } = item;
    const data = { user_id: state.me, request_id, text };
    const failed = error && {
      why: t("refused", { why: explain(error) }),
      again: () => outbox.retry(item),
      drop: () => outbox.remove((other) => other === item),
    };
    const far = item.state === "sent" ? "sent" : "pending";
    message(sentKey(data), ts, data, { failed: Boolean(error), ...failed }, item, error ? [] : [far, t(far)]);
  }
  return items;
}
