// Asks before an answer that people gave to the agent, such as an approval or a booking, would be taken back.

import { t } from "../i18n.js";
import { confirmed } from "./confirm.js";
import { inWords } from "./values.js";

const QUOTED = 120; // characters

// What was answered to the agent's questions after the entry `from`, in words: [question, answer].
function answeredSince(c, from) {
  const later = c.entries.filter((entry) => entry.seq > from && !c.stream.hidden.has(entry.seq));
  const asked = new Map(later.flatMap(({ data }) => data.interrupts ?? []).map(({ interrupt_id, form }) => [interrupt_id, form]));
  const answered = later.filter(({ type, data }) => type === "interrupt_resolved" && data.outcome === "answered");
  return answered.map(({ data }) => {
    const { text, options = [] } = asked.get(data.interrupt_id) ?? {};
    const label = options.find(({ value }) => JSON.stringify(value) === JSON.stringify(data.value))?.label;
    const decisions = [data.value?.decisions ?? []].flat().map(({ type }) => t(`did_${type}`) ?? type);
    return [short(text || t("question")), short(label || decisions.join(", ") || inWords(data.value))];
  });
}

const short = (text) => (text.length > QUOTED ? `${text.slice(0, QUOTED)}…` : text);

// Resolves with whether the turn of the message `from` may begin again.
export async function mayUndo(c, from, act) {
  const answered = answeredSince(c, from);
  if (!answered[0]) return true;
  const lines = answered.map(([question, answer]) => t("undoAnswer", { question, answer }));
  return confirmed({ title: t("undoTitle"), text: [t("undoText", { n: answered.length }), ...lines].join("\n"), act });
}
