// Fields for JSON values: text, number, yes or no, one of several, and JSON for what is nested. Types are kept.

import { fill, h } from "../dom.js";
import { t } from "../i18n.js";
import { worded } from "./values.js";

const typeOf = (value) => (Array.isArray(value) ? "array" : value === null ? "null" : typeof value);

// A schema without its references and its "or null".
export function resolve(schema = {}, root = schema, depth = 0) {
  const { $ref, anyOf, oneOf, allOf, ...own } = schema;
  if (depth > 8) return own;
  if ($ref?.startsWith("#/")) {
    const found = $ref.slice(2).split("/").reduce((part, key) => part?.[key], root);
    return { ...resolve(found, root, depth + 1), ...own };
  }
  if (allOf?.length === 1) return { ...resolve(allOf[0], root, depth + 1), ...own };
  const some = anyOf ?? oneOf;
  const rest = some?.filter(({ type }) => type !== "null");
  if (rest?.length === 1) return { ...resolve(rest[0], root, depth + 1), ...own, nullable: rest.length < some.length };
  if (some) return { ...own, mixed: true };
  if (Array.isArray(own.type)) {
    const types = own.type.filter((one) => one !== "null");
    return { ...own, type: types.length === 1 ? types[0] : undefined, nullable: types.length < own.type.length };
  }
  return own;
}

// {name, node, read}: `read()` is the value, or undefined where it is left out.
export function field(name, schema, value = schema.default, required, root) {
  const known = resolve(schema, root);
  value ??= known.default ?? value;
  // What is there counts more than what the schema says of it.
  const there = value === undefined || value === null ? known.type : typeOf(value);
  const type = known.mixed && !value ? "json" : there === "integer" ? "number" : (there ?? (value === null ? "string" : "json"));
  const make = known.enum ? oneOf : { string: words, number, boolean: yesOrNo }[type] ?? asJson;
  const needed = required && !known.nullable;
  const { control, read } = make(known, value, needed);
  const label = fill({
    is: "field",
    label: known.title ?? worded(name),
    optional: !needed && value === undefined && type !== "boolean" && t("optional"),
    control: [control],
    hint: known.description,
  });
  if (type === "boolean" && !known.enum) label.classList.add("check");
  return { name, node: label, read };
}

const set = (control, properties) => Object.assign(control, Object.fromEntries(Object.entries(properties).filter(([, one]) => one !== undefined)));
const empty = (value) => (value === undefined || value === null ? value : "");

function words({ minLength, maxLength, format }, value, required) {
  const date = format === "date";
  const control = set(h(date ? "input" : "textarea"), { type: date ? "date" : undefined, rows: date ? undefined : 1, dir: date ? undefined : "auto", value: value ?? "", maxLength, minLength });
  control.required = Boolean(required) && !value;
  return { control, read: () => control.value || (required && value === undefined ? "" : empty(value)) };
}

function number({ type, minimum, maximum }, value, required) {
  const control = set(h("input"), { type: "number", step: type === "integer" ? "1" : "any", min: minimum, max: maximum, value: value ?? "" });
  control.required = Boolean(required) || typeof value === "number";
  return { control, read: () => (control.value === "" ? value ?? undefined : Number(control.value)) };
}

function yesOrNo(known, value) {
  const control = set(h("input"), { type: "checkbox", checked: value === true });
  return { control, read: () => control.checked };
}

function oneOf({ enum: values, nullable }, value, required) {
  const all = [...values];
  const at = all.findIndex((one) => JSON.stringify(one) === JSON.stringify(value));
  const choice = (one, index) => set(h("option", typeof one === "string" ? one : JSON.stringify(one)), { value: String(index) });
  const none = (!required || at < 0) && set(h("option", required ? "" : t("notSet")), { value: "" });
  const control = h("select", ...[none, ...all.map(choice)].filter(Boolean));
  control.value = at < 0 ? "" : String(at);
  control.required = Boolean(required);
  return { control, read: () => (control.value === "" ? (nullable && value === null ? null : undefined) : all[control.value]) };
}

function asJson(known, value, required) {
  const control = set(h("textarea"), { rows: 3, spellcheck: false, className: "json", value: value === undefined ? "" : JSON.stringify(value, null, 2) });
  control.required = Boolean(required);
  const parsed = () => (control.value.trim() ? JSON.parse(control.value) : undefined);
  control.oninput = () => {
    try {
      parsed();
      control.setCustomValidity("");
    } catch {
      control.setCustomValidity(t("notJson"));
    }
  };
  return { control, read: parsed };
}
