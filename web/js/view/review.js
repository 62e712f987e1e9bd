// A review: actions that wait to be approved, edited, rejected or answered. One is decided at once, several together.

import { fill, h, onSubmit } from "../dom.js";
import { t } from "../i18n.js";
import { field } from "./fields.js";
import { facts } from "./values.js";

const NAMES = { accept: "approve", response: "respond" }; // as agent-inbox has them
const DEFAULT = /\n\nTool: .*\nArgs: [^]*$/; // what LangChain appends stands in the table

// What was decided, in whichever form the log has it.
function decisionsOf(given) {
  const list = [given?.decisions ?? given ?? []].flat();
  return list.map((one) => {
    const { type = "", args, message } = one ?? {};
    const made = { ...one, type: NAMES[type] ?? type };
    if (made.type === "edit") made.edited_action ??= args?.args ? { args: args.args } : undefined;
    if (typeof args === "string") made.message = message ?? args;
    return made;
  });
}

// `given`: how it was answered, or null. `send`: answers; without it nothing can be decided here.
export function build({ actions }, given, send) {
  const made = given ? decisionsOf(given) : [];
  const box = h("div");
  box.className = "review";
  const bar = send && actions[1] && fill({ is: "decided", note: " ", send: () => send({ decisions: made }) });
  const count = () => {
    const n = actions.filter((_, at) => made[at]).length;
    bar.firstElementChild.textContent = t("decided", { n, all: actions.length });
    bar.lastElementChild.disabled = n < actions.length;
  };
  const decide = (at) => (decision) => {
    made[at] = decision;
    if (bar) count();
    else send({ decisions: made });
  };
  box.append(...actions.map((action, at) => card(action, made[at], send && decide(at), Boolean(bar))), ...(bar ? [bar] : []));
  if (bar) count();
  return box;
}

// `keeps`: what was decided is shown, and may be changed until all is sent.
function card(action, decision, decide, keeps) {
  const { name, args = {}, description = "", decisions, args_schema } = action;
  let node;
  const show = (mode) => {
    const fresh = draw(mode);
    node.replaceWith(fresh);
    node = fresh;
    (node.querySelector("form :is(textarea, input, select)") ?? node.querySelector("button"))?.focus({ preventScroll: true });
  };
  const settle = (made) => {
    decide(made);
    if (!keeps) return;
    decision = made;
    show("decided");
  };
  const choose = (type) =>
    Object.assign(h("button", t(`do_${type}`)), { onclick: () => (type === "approve" || type === "ignore" ? settle({ type }) : show(type)) });

  function draw(mode) {
    const { type, edited_action, message } = decision ?? {};
    const now = edited_action?.args ?? args;
    const asks = mode === "reject" || mode === "respond";
    const fields = mode === "edit" && fieldsOf(now, args_schema);
    const words = asks && field("", { type: "string", title: t(mode === "reject" ? "whyReject" : "reply") }, type === mode ? message : undefined, mode === "respond");
    const rows = !fields && facts(now, { before: edited_action && args });
    const drawn = fill({
      is: "action",
      name,
      verdict: mode === "decided" && type && t(`did_${type}`),
      about: description.replace(DEFAULT, "").trim(),
      facts: rows?.[0] && rows,
      said: mode === "decided" && message,
      choices: !mode && decide && decisions.map(choose),
      form: Boolean(fields || words),
      fields: fields ? fields.map((one) => one.node) : words && [words.node],
      go: t(mode === "edit" ? "approveEdited" : `do_${asks ? mode : "reject"}`),
      back: () => show(decision && keeps ? "decided" : ""),
      change: mode === "decided" && decide && (() => {
        decision = type === "approve" || type === "ignore" ? undefined : decision;
        show(decision ? type : "");
      }),
    });
    drawn.ariaLabel = name;
    if (mode === "decided") drawn.classList.add(`did-${type}`);
    const form = drawn.querySelector("form");
    if (form) {
      onSubmit(form, () => {
        if (fields) return settle({ type: "edit", edited_action: { name, args: valuesOf(fields) } });
        const said = words.read();
        settle({ type: mode, ...(said && { message: said }) });
      });
    }
    return drawn;
  }
  node = draw(decision ? "decided" : "");
  return node;
}

// A field for each argument: those that are there, and those that the schema knows.
function fieldsOf(args, schema = {}) {
  const { properties = {}, required = [] } = schema;
  const names = [...new Set([...Object.keys(args), ...Object.keys(properties)])];
  return names.map((name) => {
    const known = Object.hasOwn(properties, name) ? { ...properties[name], title: undefined } : {};
    return field(name, known, Object.hasOwn(args, name) ? args[name] : undefined, required.includes(name), schema);
  });
}

const valuesOf = (fields) => Object.fromEntries(fields.map(({ name, read }) => [name, read()]).filter(([, value]) => value !== undefined));
