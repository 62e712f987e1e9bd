// The agent's questions: how each is answered by its form, or how it was answered, by whom and where.

import { $, complain, fill, h, onSubmit } from "../dom.js";
import { language, t } from "../i18n.js";
import { lazy } from "../lazy.js";
import { state } from "../state.js";
import { facts, inWords, isObject, table, unbroken } from "./values.js";

const KINDS = new Set(["text", "choice", "approval", "schema", "review"]);

// Show a card for each; one that has not changed stays: somebody may be typing in it.
// `words`: show the questions' texts, which are not above them. `shortened`: the whole forms are not here yet.
export function showQuestions(box, had, { c, interrupts, reason, words, shortened }) {
  box.cards = new Map();
  for (const ask of interrupts) {
    const { interrupt_id: id } = ask;
    const sign = [c.asked.includes(id), JSON.stringify(c.resolved.get(id)), c.approvals, c.owner, language(), shortened, JSON.stringify(ask)].join();
    const known = had?.cards?.get(id);
    box.cards.set(id, known?.sign === sign ? known : { sign, node: card(c, ask, words, shortened) });
  }
  const why = reason && Object.assign(h("p", t("reopened", { reason })), { className: "reopened" });
  box.replaceChildren(...[why, ...[...box.cards.values()].map(({ node }) => node)].filter(Boolean));
}

function card(c, { interrupt_id: id, value, form = {} }, words, shortened) {
  const { kind, text = "", options = [], action, labels, free } = form;
  const { by, value: given } = c.resolved.get(id) ?? {};
  const open = c.asked.includes(id);
  const ours = open && !shortened && (c.approvals !== "owner" || c.owner === state.me);
  const built = kind === "review" ? lazy.review.load() : kind === "schema" && lazy.schemaForm.load();
  const rows = facts(action?.args ?? {}, { labels });
  const bare = !KINDS.has(kind) || !(text || options[0] || rows[0] || built);
  const answerWith = async (answer) => {
    const held = node.contains(document.activeElement) && document.activeElement;
    if (held) $("scroller").focus({ preventScroll: true });
    node.disabled = true;
    node.querySelector(".error").textContent = "";
    try {
      await c.respond(id, answer);
    } catch (error) {
      if (error.code === "invalid_payload") node.querySelector(".error").textContent = t("notAccepted", error);
      else complain(error);
    }
    node.disabled = false;
    if (held && node.isConnected) held.focus({ preventScroll: true });
  };
  const label = options.find((one) => JSON.stringify(one.value) === JSON.stringify(given))?.label;
  const told = by && !(built && isObject(given)); // otherwise it is shown as what it is
  const chosen = label ?? inWords(given);
  const who = by && { ...by, device: by.device_name || by.device_id };
  const node = fill({
    is: "question",
    set: { ariaLabel: text || t("question") },
    words: (words || bare) && text && unbroken(text),
    bare: bare && [table(value ?? null)],
    facts: rows[0] && rows,
    built: built && true,
    options: ours && options[0] && options.map((one) => Object.assign(h("button", one.label), { dir: "auto", onclick: () => answerWith(one.value) })),
    form: ours && !built && (free || !options[0]),
    error: ours,
    done: !ours && (by ? t(told ? "answered" : "decidedBy", { chosen, ...who }) : t(!open ? "superseded" : shortened ? "shortened" : "ownerAnswers")),
  });
  const typed = node.querySelector("form");
  if (typed) {
    onSubmit(typed, ({ answer }) => answerWith(answer));
    typed.onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      typed.requestSubmit();
    };
  }
  if (built) built.then(({ build }) => node.querySelector(".built").replaceChildren(build(form, by ? given : null, ours && answerWith)));
  return node;
}
