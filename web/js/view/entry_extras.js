// What is shown at an entry or a run beside its text, and what its buttons do. Until this module is loaded there is none.

import { t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { isFinal, isMine } from "./entries.js";
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

// `latest`: see above. `note`: what has happened. Returns the entry or the version of it to show, its data, and the values of the
// parts.
export function shapeOf(c, entry, latest, note, { toEnd }) {
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
    note: data.edits ? t("edited") : note,
    took: ended && markOf(one),
    edit: entry === latest.edit && (async () => (await lazy.writing.load()).edit(entry)),
    quote: data.reply_to && lazy.replies.loaded && Object.values(lazy.replies.loaded.quoteOf(c, data.reply_to)),
    files: data.files?.map(({ name }) => name),
    reactions: reactionsTo(c, one.seq).join(" "),
  };
  return { one, data: n > 1 ? { ...one.data, version, current: entry } : data, extras };
}

// Of a run that is being written (`run`), or waits for its turn with its message.
export function runShape(c, one, run, stop) {
  if (one === run) return { version: one.version, note: noteOf(one) };
  const asked = c.entries[one.turn_id - c.entries[0]?.seq]?.data.text ?? "…";
  return { note: t("queued", { text: asked.slice(0, QUOTED) }), actions: true, stop: () => stop(c, one) };
}
