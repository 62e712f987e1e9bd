// What is shown at an entry or a run beside its text, and what its buttons do. Until this module is loaded there is none.

import { t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { reactionsTo } from "./reactions.js";
import { markOf, noteOf } from "./takeover.js";
import { versionOf } from "./versions.js";

const QUOTED = 200; // characters

// `place`: {final, last, mine}: whether it is the last final entry, the last message, this user's. `note`: what has happened.
// Returns the entry or the version of it to show, its data, and the values of the parts.
export function shapeOf(c, entry, place, note, { connection, toEnd }) {
  const { seq, data } = entry;
  const ended = data.run_id && !data.request_id;
  const version = ended ? versionOf(c, entry) : { one: entry, n: 1 };
  const { one, at, n } = version;
  const extras = {
    actions: place.final,
    copy: async () => (await lazy.requests.load()).copyText(connection, c, one.seq, one),
    regenerate: async () => {
      if (!(await (await lazy.undo.load()).mayUndo(c, entry.turn_id, t("regenerate")))) return;
      await c.regenerate(seq);
      toEnd();
    },
    versions: n > 1 && `${at} / ${n}`,
    note: data.edits ? t("edited") : note,
    took: ended && markOf(one),
    edit: place.mine && place.last && (async () => (await lazy.writing.load()).edit(entry)),
    quote: data.reply_to && lazy.replies.loaded && Object.values(lazy.replies.loaded.quoteOf(c, data.reply_to)),
    files: data.files?.map(({ name }) => name),
    reactions: reactionsTo(c, seq).join(" "),
  };
  return { one, data: n > 1 ? { ...one.data, version, current: entry } : data, extras };
}

// Of a run that is being written (`run`), or waits for its turn with its message.
export function runShape(c, one, run, stop) {
  if (one === run) return { version: one.version, note: noteOf(one) };
  const asked = c.entries[one.turn_id - c.entries[0]?.seq]?.data.text ?? "…";
  return { note: t("queued", { text: asked.slice(0, QUOTED) }), actions: true, stop: () => stop(c, one) };
}
