// The page's language, of every text and time: the browser's, until the person switches it.

import { stored } from "./storage.js";

let lang;
let words = {};
let formats = {}; // making one is slow

export const language = () => lang;

// "{name}" is a value, "{n|message|messages}" the form that goes with the number n.
export const t = (key, values) =>
  words[key]?.replace(/{(\w+)(?:\|(.*?)\|(.*?))?}/g, (_, name, one, more) =>
    more === undefined ? isolated(values[name]) : values[name] === 1 ? one : more,
  );

// Names and titles from the right, and what could turn the direction, do not change the order of the words around.
const BIDI = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const FROM_RIGHT = /[\u0590-\u08ff\ufb1d-\ufefc]/;
const isolated = (value) => {
  if (typeof value !== "string") return value;
  const bare = value.replace(BIDI, "");
  return FROM_RIGHT.test(bare) ? `\u2068${bare}\u2069` : bare;
};

// An error in our words. The server's are a detail, in English.
export const explain = ({ code, message = "", details }) => t(`error_${code}`, { message, ...details }) ?? t("error_other", { message });

// Fill a node's fixed texts: data-t is the text, data-label the accessible name.
export function translate(root) {
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of root.querySelectorAll("[data-label]")) {
    node.ariaLabel = t(node.dataset.label);
    node[node.matches("button") ? "title" : "placeholder"] = node.ariaLabel;
  }
}

export async function speak(wanted = stored.lang ?? (/^zh/i.test(navigator.language) ? "zh" : "en")) {
  words = await (await fetch(new URL(`../words/${wanted}.json`, import.meta.url))).json();
  lang = wanted;
  formats = {};
  document.documentElement.lang = t("locale");
  translate(document);
}

export const switchLanguage = () => speak((stored.lang = lang === "zh" ? "en" : "zh"));

export const format = (date, key, options) => (formats[key] ??= new Intl.DateTimeFormat(t("locale"), options)).format(date);

export const clock = (date) => format(date, "clock", { hour: "2-digit", minute: "2-digit" });

export function day(date) {
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(date).setHours(0, 0, 0, 0)) / 864e5);
  return days < 2 ? t(days ? "yesterday" : "today") : format(date, "day", { weekday: "long", day: "numeric", month: "long" });
}
