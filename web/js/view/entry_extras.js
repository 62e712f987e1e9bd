// What is shown at an entry or a run beside its text, and what its buttons do. Until this module is loaded there is none.

import { textOf } from "../../sdk/src/stream.js";
import { explain, t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { nameOf } from "../state.js";
import { isFinal, isMine } from "./entries.js";
import { mentionsOf } from "./mentions.js";
import { reactionsTo } from "./reactions.js";
import { markOf, noteOf } from "./takeover.js";
import { versionOf } from "./versions.js";

const QUOTED = 200; // characters

// The entries with which something more can be done, wherever the log is scrolled to: `final` is the last answer, `again` the
// same if the server can have it given again, `edit` the last message if it is this user's, `newest` is the last of this user's.
export function latestOf(c, waiting) {
  const last = (fits) => c.entries.findLast((entry) => fits(entry) && c.isCurrent(entry));
  const final = c.stream.current ? undefined : last(isFinal);
  const said = last(({ type }) => type === "message");
  return {
    final,
    again: final && !isForgotten(c, final) && final,
    edit: !waiting.length && said && isMine(said) && said,
    newest: waiting.at(-1) ?? last(isMine),
  };
}

// Without a message of its turn, or with one after it deleted, the dialog has left the turn.
function isForgotten(c, { seq, turn_id }) {
  const since = c.entries.slice(seq - c.entries[0].seq);
  return turn_id < c.first || since.some(({ type, data }) => type === "message_deleted" && data.deletes.some((one) => one >= turn_id));
}

// What has happened, in words.
export function eventOf({ type, data }) {
  const reason = t(`failed_${data.code}`) ?? data.reason;
  const kind = data.deleted ? "deleted" : `entry_${type}${data.by && type.startsWith("member_") ? "_by" : ""}`;
  return t(kind, { ...data, who: nameOf(data.user_id), reason, name: data.by?.name ?? data.name ?? nameOf(data.user_id) });
}

// `latest`: see above. Returns the entry or the version of it to show, its data, and the values of the parts.
export function shapeOf(c, entry, latest, { toEnd }) {
  const { seq, data } = entry;
  const ended = data.run_id && !data.request_id;
  const version = ended ? versionOf(c, entry) : { one: entry, n: 1 };
  const { one, at, n } = version;
  const extras = {
    actions: entry === latest.final,
    copy: async () => (await lazy.requests.load()).copyText(c, one),
    regenerate: entry === latest.again && (async () => {
      if (!(await (await lazy.undo.load()).mayUndo(c, entry.turn_id, t("regenerate")))) return;
      await c.regenerate(seq);
      toEnd();
    }),
    versions: n > 1 && `${at} / ${n}`,
    note: data.edits ? t("edited") : eventOf(one),
    took: ended && markOf(one),
    edit: entry === latest.edit && (async () => (await lazy.writing.load()).edit(entry)),
    quote: data.reply_to && lazy.replies.loaded && Object.values(lazy.replies.loaded.quoteOf(c, data.reply_to)),
    files: data.files?.map(({ name }) => name),
    reactions: reactionsTo(c, one.seq).join(" "),
    mentions: !data.run_id && mentionsOf(c, data.text ?? ""), // of members that are known later
  };
  return { one, data: n > 1 ? { ...one.data, version, current: entry } : data, extras };
}

// Of a run that is being written, or waits for its turn with its message.
export function runShape(c, one, able) {
  const data = { user_id: `agent:${c.graph}`, text: textOf(one.parts), parts: one.parts };
  if (one === c.stream.current) return { data, extras: { time: "", version: one.version, note: noteOf(one) } };
  const asked = c.entries[one.turn_id - c.entries[0]?.seq]?.data.text ?? "…";
  const note = t("queued", { text: asked.slice(0, QUOTED) });
  return { data, extras: { time: "", note, actions: true, stop: () => able.stop(c, one) } };
}

// Of a message that the server has refused.
export const refusedShape = (c, item) => ({
  failed: true,
  why: t("refused", { why: explain(item.error) }),
  again: () => c.sendAgain(item),
  drop: () => c.drop(item),
});
