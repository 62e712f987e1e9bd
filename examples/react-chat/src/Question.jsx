import { useState } from "react";

// A question of the agent, with buttons; once it has been answered, who has answered what.
export function Question({ form, answer, isOpen, respond }) {
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const say = async (value) => {
    setBusy(true);
    setError("");
    await respond(value).catch(({ message }) => setError(message));
    setBusy(false);
  };
  if (!isOpen) return answer?.by ? <p className="quiet">{`${answer.by.name}: ${labelOf(form, answer.value)}`}</p> : null;
  return (
    <fieldset className="question" disabled={busy}>
      <legend>{form.kind === "review" ? form.actions.map(({ name }) => name).join(", ") : "Your answer"}</legend>
      {choicesOf(form).map(({ value, label }, n) => (
        <button key={label} className={n ? "" : "first"} onClick={() => say(value)}>
          {label}
        </button>
      ))}
      {(form.free || form.kind === "text") && <Words say={say} />}
      <p role="alert">{error}</p>
    </fieldset>
  );
}

function Words({ say }) {
  const submit = (event) => {
    event.preventDefault();
    const text = new FormData(event.currentTarget).get("text").trim();
    if (text) say(text);
  };
  return (
    <form onSubmit={submit}>
      <input name="text" aria-label="In other words" placeholder="In other words" dir="auto" />
    </form>
  );
}

// What can be chosen: the graph's options, or what a review allows for all of its actions.
function choicesOf({ options = [], actions = [] }) {
  const allowed = ["approve", "reject"].filter((type) => actions.length && actions.every((one) => one.decisions.includes(type)));
  const reviews = allowed.map((type) => ({
    value: { decisions: actions.map(() => ({ type })) },
    label: type === "approve" ? "Approve" : "Reject",
  }));
  return [...options, ...reviews];
}

function labelOf(form, value) {
  const chosen = choicesOf(form).find((one) => JSON.stringify(one.value) === JSON.stringify(value));
  return chosen?.label ?? (typeof value === "string" ? value : JSON.stringify(value));
}
