// The lines of a stretch of a conversation: entries, the answer being written, and messages on their way.

import { clock, day, t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { nameOf, state } from "../state.js";
import { hueOf, initialOf } from "./person.js";

const TOGETHER_MS = 5 * 60_000; // messages of one author within this time share one head

// Entries that say or ask something are shown as messages, the others in one line.
const isMessage = ({ data }) => !data.deleted && data.user_id && (data.text || data.parts || data.interrupts || data.files);
export const isFinal = ({ data }) => data.run_id && data.user_id && !data.request_id;
export const isMine = ({ data }) => data.request_id && data.user_id === state.me;
export const byOthers = (entry) => isMessage(entry) && entry.data.user_id !== state.me;

// The same before and after it is in the log.
export const runKey = ({ run_id }) => `run ${run_id}`;
const sentKey = ({ user_id, request_id }) => `${user_id} ${request_id}`;
export const keyOf = ({ seq, data }) => (data.request_id ? sentKey(data) : isFinal({ data }) ? runKey(data) : seq);

// The items to show for these entries, and at the end for what follows them.
export function lines(c, entries, atEnd, able) {
  const { connection, outbox } = able;
  const waiting = outbox.of(c.id).filter((item) => item.state !== "sent" || item.seq > c.head);
  const run = c.stream.current;
  const edited = new Set(waiting.map(({ error, edits }) => !error && edits));
  const shown = entries.filter((entry) => c.isCurrent(entry) && !edited.has(entry.seq));
  const { after, upTo } = c.divider ?? {};
  const isNew = (entry) => entry.seq > after && entry.seq <= upTo && byOthers(entry);
  const news = shown.find(isNew);
  const { asked } = c;
  const items = [];
  const content = lazy.entryContent.loaded;
  if (!content) lazy.entryContent.load();
  const latest = content?.latestOf(c, waiting) ?? { newest: waiting.at(-1) };
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
        className: `message ${side} ${joined ? "joined" : ""} ${far} ${one === latest.newest ? "newest" : ""}`,
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
        if (one.seq) node.dataset.seq = one.seq;
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
    if (entry === news) {
      // Of all that are loaded, not only of the stretch; when there are more, that is said.
      const n = c.shown.filter((one) => isNew(one) && c.isCurrent(one)).length;
      line("news", "news", t("missed", { n: c.shown[0].seq > Math.max(after + 1, c.first) ? `${n}+` : n }));
    }
    if (!isMessage(entry)) {
      if (content) line(seq, data.deleted ? "deleted" : type, content.eventOf(entry) ?? t("unknownEntry", { type }));
      continue;
    }
    const shape = content?.shapeOf(c, entry, latest, able) ?? { one: entry, data };
    message(keyOf(entry), shape.one.ts, shape.data, shape.extras, shape.one, content && isMine(entry) ? content.receipt(c, entry) : []);
  }
  if (!atEnd) return items;
  for (const one of content ? c.stream.runs.values() : []) {
    const { data, extras } = content.runShape(c, one, able);
    message(runKey(one), new Date(), data, extras, one, [one.status]);
  }
  for (const item of waiting) {
    const { request_id, error, ts, text } = item;
    const data = { user_id: state.me, request_id, text: text || t("file") };
    const far = item.state === "sent" ? "sent" : "pending";
    message(sentKey(data), ts, data, error && content?.refusedShape(c, item), item, error ? [] : [far, t(far)]);
  }
  return items;
}
