// The agent's question: buttons or a field to answer it, or how it was answered, by whom and where.

import { respond } from "../conversation/requests.js";
import { $, fill, h, onSubmit } from "../dom.js";
import { t } from "../i18n.js";
import { state } from "../state.js";

const WORDS = ["text", "question", "message", "description", "query"]; // fields that may hold the question's text

const plain = (any) => (typeof any === "string" ? any : JSON.stringify(any));

// `words`: show the question's text, which is not above it.
export function question(c, { interrupt_id: id, value }, words, connection) {
  const text = plain(WORDS.map((key) => value?.[key]).find((one) => typeof one === "string") ?? value);
  const options = [value?.options ?? []].flat().map((one) => [one?.value ?? one, plain(one?.label ?? one?.value ?? one)]);
  const labels = new Map(Object.entries(value?.labels ?? {}));
  const facts = Object.entries(value?.action?.args ?? {}).flatMap(([name, fact]) => [h("dt", labels.get(name) ?? name.replaceAll("_", " ")), h("dd", plain(fact))]);
  const { by, value: given } = c.resolved.get(id) ?? {};
  const open = c.asked.includes(id);
  const ours = open && (c.approvals !== "owner" || c.owner === state.me);
  const answerWith = async (answer) => {
    if (node.contains(document.activeElement)) $("scroller").focus({ preventScroll: true });
    node.disabled = true;
    await respond(connection, c, id, answer);
    node.disabled = false;
  };
  const chosen = options.find(([one]) => plain(one) === plain(given))?.[1] ?? plain(given);
  const node = fill({
    is: "question",
    set: { ariaLabel: text },
    words: words && text,
    facts: facts[0] && facts,
    options: ours && options.map(([one, label]) => Object.assign(h("button", label), { onclick: () => answerWith(one) })),
    form: ours && !options[0],
    done: !ours && (by ? t("answered", { chosen, ...by, device: by.device_name || by.device_id }) : t(open ? "ownerAnswers" : "superseded")),
  });
  const form = node.querySelector("form");
  if (form) onSubmit(form, ({ answer }) => answerWith(answer));
  return node;
}
