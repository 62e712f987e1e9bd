// A question of the agent's: buttons or a field to answer it, or how it was answered, by whom and where.

import { fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { state } from "./state.js";

const WORDS = ["text", "question", "message", "description", "query"]; // where a question may have them

const plain = (any) => (typeof any === "string" ? any : JSON.stringify(any));

// With its `words` where they do not stand above.
export function question(c, { interrupt_id: id, value }, words, actions) {
  const text = plain(WORDS.map((key) => value?.[key]).find((said) => typeof said === "string") ?? value);
  const options = [value?.options ?? []].flat().map((one) => [one?.value ?? one, plain(one?.label ?? one?.value ?? one)]);
  const { name, args } = value?.action ?? {};
  const respond = async (given) => {
    node.disabled = true;
    await actions.respond(c, id, given);
    node.disabled = false;
  };
  const open = c.asked.has(id);
  const ours = c.approvals !== "owner" || c.owner === state.me;
  const node = fill("question", {
    words: words && text,
    action: name && [h("dt", {}, plain(name)), ...Object.entries(args ?? {}).flatMap(([key, given]) => h("dd", {}, h("span", {}, key), plain(given)))],
    options: open && ours && options.map(([given, label]) => h("button", { type: "button", onclick: () => respond(given) }, label)),
    form: open && ours && !options.length,
    done: !open ? outcome(c.resolved.get(id), options) : !ours && t("ownerAnswers"),
  });
  node.ariaLabel = text;
  const form = node.querySelector("form");
  if (form) {
    form.onsubmit = (event) => {
      event.preventDefault();
      respond(form.firstElementChild.value);
    };
  }
  return node;
}

function outcome(resolved, options) {
  const { by, value } = resolved ?? {};
  if (!by) return t("superseded");
  const chosen = options.find(([given]) => plain(given) === plain(value))?.[1] ?? plain(value);
  return t("answered", { chosen, name: by.name, device: by.device_name || by.device_id });
}
