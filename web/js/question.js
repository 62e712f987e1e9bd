// A question of the agent's: buttons or a field to answer it, or how it was answered, by whom and where.

import { $, fill, h, onSubmit } from "./dom.js";
import { t } from "./i18n.js";
import { state } from "./state.js";

const WORDS = ["text", "question", "message", "description", "query"]; // where a question may have them

const plain = (any) => (typeof any === "string" ? any : JSON.stringify(any));

// With its `words` where they do not stand above.
export function question(c, { interrupt_id: id, value }, words, actions) {
  const text = plain(WORDS.map((key) => value?.[key]).find((said) => typeof said === "string") ?? value);
  const options = [value?.options ?? []].flat().map((one) => [one?.value ?? one, plain(one?.label ?? one?.value ?? one)]);
  const facts = Object.entries(value?.action?.args ?? {}).flatMap(([name, fact]) => [h("dt", value.labels?.[name] ?? name.replaceAll("_", " ")), h("dd", plain(fact))]);
  const { by, value: given } = c.resolved.get(id) ?? {};
  const open = c.asked.has(id);
  const ours = open && (c.approvals !== "owner" || c.owner === state.me);
  const respond = async (answer) => {
    if (node.contains(document.activeElement)) $("scroller").focus({ preventScroll: true });
    node.disabled = true;
    await actions.respond(c, id, answer);
    node.disabled = false;
  };
  const chosen = options.find(([one]) => plain(one) === plain(given))?.[1] ?? plain(given);
  const node = fill({
    is: "question",
    set: { ariaLabel: text },
    words: words && text,
    facts: facts[0] && facts,
    options: ours && options.map(([one, label]) => Object.assign(h("button", label), { onclick: () => respond(one) })),
    form: ours && !options[0],
    done: !ours && (by ? t("answered", { chosen, ...by, device: by.device_name || by.device_id }) : t(open ? "ownerAnswers" : "superseded")),
  });
  const form = node.querySelector("form");
  if (form) onSubmit(form, ({ answer }) => respond(answer));
  return node;
}
