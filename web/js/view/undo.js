// Asks before an answer that people gave to the agent, such as an approval or a booking, would be taken back.

import { t } from "../i18n.js";
import { confirmed } from "./confirm.js";

// The agent's questions after the entry `from` that somebody has answered, in words.
function answeredSince(c, from) {
  const later = c.entries.filter((entry) => entry.seq > from && !c.stream.hidden.has(entry.seq));
  const asked = new Map(later.flatMap(({ data }) => data.interrupts ?? []).map(({ interrupt_id, form }) => [interrupt_id, form?.text]));
  const answered = later.filter(({ type, data }) => type === "interrupt_resolved" && data.outcome === "answered");
  return answered.map(({ data }) => asked.get(data.interrupt_id) || t("question"));
}

// Resolves with whether the turn of the message `from` may begin again.
export async function mayUndo(c, from, act) {
  const answered = answeredSince(c, from);
  if (!answered[0]) return true;
  const questions = new Intl.ListFormat(t("locale")).format(answered.map((text) => `“${text}”`));
  return confirmed({ title: t("undoTitle"), text: t("undoText", { questions, n: answered.length }), act });
}
