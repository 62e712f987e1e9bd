// Questions of a graph as the AI SDK has them: approvals of tools where they are such, data parts otherwise.

const SAME = { accept: "approve", response: "respond" }; // agent-inbox's words for a decision

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// What an action may be refused with.
const refusal = ({ decisions }) => ["reject", "ignore", "respond"].find((one) => decisions.includes(one));

/** The calls that a question wants approved: `{id, name, args, text}`; null when it asks something else. */
export function approvalsIn({ interrupt_id, form }) {
  if (form.kind === "approval" && form.action) {
    return [{ id: interrupt_id, text: form.text, ...form.action }];
  }
  const simple = form.kind === "review" && form.actions.every((one) => one.decisions.includes("approve") && refusal(one));
  if (!simple) return null;
  return form.actions.map(({ name, args, description }, n) => ({ id: `${interrupt_id}:${n}`, name, args, text: description }));
}

// The option that means yes.
const yes = ({ options }) => (options.find(({ value }) => value === "approve" || value === true) ?? options[0]).value;

/**
 * The answer to a question; undefined when not all of its calls have been decided.
 * @param {{interrupt_id: string, form: any}} question
 * @param {Map<string, {approved: boolean, reason?: string}>} decided by the id of the approval
 */
export function answerOf({ interrupt_id, form }, decided) {
  if (form.kind === "approval") {
    const { approved, reason } = decided.get(interrupt_id) ?? {};
    if (approved === undefined) return undefined;
    if (approved) return yes(form);
    if (reason && form.free) return reason;
    const others = form.options.filter(({ value }) => !same(value, yes(form)));
    return (others.find(({ value }) => value === "reject" || value === false) ?? others[0])?.value;
  }
  if (form.kind !== "review") return undefined;
  const decisions = form.actions.map((action, n) => {
    const { approved, reason } = decided.get(`${interrupt_id}:${n}`) ?? {};
    if (approved === undefined) return undefined;
    const type = approved ? "approve" : refusal(action);
    const message = type === "respond" ? (reason ?? "No.") : type === "reject" ? reason : undefined;
    return { type, ...(message && { message }) };
  });
  return decisions.includes(undefined) ? undefined : { decisions };
}

/**
 * How each of its calls was decided: `{approved, reason?, output?}`.
 * @param {{form: any}} question
 * @param {any} answer the data of what has resolved it
 */
export function decisionsIn({ form }, { value, outcome }) {
  if (outcome === "superseded") return (form.actions ?? [0]).map(() => ({ approved: false, reason: "superseded" }));
  if (form.kind === "approval") {
    const approved = same(value, yes(form));
    const typed = !form.options.some((option) => same(option.value, value));
    return [{ approved, ...(typed && { reason: String(value) }), ...(approved && { output: value }) }];
  }
  const decisions = value?.decisions ?? [value].flat();
  return form.actions.map((_, n) => {
    const { type = "", message, args } = decisions[n] ?? {};
    const kind = SAME[type] ?? type;
    const said = message ?? (typeof args === "string" ? args : undefined);
    const approved = kind !== "reject" && kind !== "ignore";
    return { approved, ...(!approved && said && { reason: said }), ...(approved && { output: said ?? kind }) };
  });
}
