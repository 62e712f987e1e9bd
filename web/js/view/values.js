// JSON for people: the names and values of an object in a table; what is nested stays JSON.

import { h } from "../dom.js";

const NUMBER = /\b([A-Z]{1,4}(?:-[A-Z0-9]{3,16}){1,2})\b/;

export const worded = (name) => name.replaceAll("_", " ");
export const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
export const isFlat = (value) => isObject(value) && Object.values(value).every((one) => one === null || typeof one !== "object");
export const inWords = (any) => (typeof any === "string" ? any : JSON.stringify(any));

export const json = (value) => Object.assign(h("pre", JSON.stringify(value, null, 2)), { tabIndex: 0 });

// Numbers such as R-7K2M4 are not broken at their hyphen.
export const unbroken = (text) =>
  text.split(NUMBER).map((part, index) => (index % 2 ? Object.assign(h("span", part), { className: "unbroken" }) : part));

// A text, or nodes.
function shown(value) {
  if (value === "" || value === null) return "–";
  if (typeof value !== "object") return unbroken(String(value));
  const list = Array.isArray(value) && value.every((one) => one !== null && typeof one !== "object");
  return list && value[0] !== undefined ? unbroken(value.join("\n")) : json(value);
}

// `before`: the values as they were; those that differ are marked.
export const facts = (values, { labels = {}, before } = {}) =>
  Object.entries(values).flatMap(([name, value]) => {
    const changed = before && JSON.stringify(value) !== JSON.stringify(before[name]);
    const label = Object.hasOwn(labels, name) ? labels[name] : worded(name);
    const cell = Object.assign(h("dd", ...[shown(value)].flat()), { dir: "auto" }, changed && { className: "changed" });
    return [Object.assign(h("dt", label), { dir: "auto" }), cell];
  });

export const table = (value) => {
  if (!isFlat(value) || !Object.keys(value)[0]) return json(value);
  const list = h("dl", ...facts(value));
  list.className = "facts";
  return list;
};
