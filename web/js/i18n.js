// The page's language: chosen by the browser, switched by the person, used for every word and time.

import { stored } from "./storage.js";
import { words } from "./words.js";

let lang = stored.lang ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

export const language = () => lang;

export const t = (key, values) => words[lang][key]?.replace(/\{(\w+)\}/g, (_, name) => values[name]);

// An error in words: ours when the code is known, otherwise the server's own.
export const explain = (error) => t(`error_${error.code}`) ?? error.message;

// Put the words into the page's fixed parts: data-t is the text, data-label what a screen reader says.
export function translate() {
  document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-label]")) {
    const label = t(node.dataset.label);
    node.setAttribute("aria-label", label);
    if (node.matches("button")) node.title = label;
    if ("placeholder" in node) node.placeholder = label;
  }
}

export function switchLanguage() {
  lang = stored.lang = lang === "zh" ? "en" : "zh";
  translate();
}

const format = (date, options) => date.toLocaleString(lang === "zh" ? "zh-CN" : "en-GB", options);

export const clock = (date) => format(date, { hour: "2-digit", minute: "2-digit" });

export const exactly = (date) => format(date, { dateStyle: "medium", timeStyle: "medium" });

export function day(date) {
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(date).setHours(0, 0, 0, 0)) / 86400000);
  if (days === 0) return t("today");
  return days === 1 ? t("yesterday") : format(date, { weekday: "long", day: "numeric", month: "long" });
}

// For the list: the time today, the date before.
export function briefly(date) {
  const today = date.toDateString() === new Date().toDateString();
  return today ? clock(date) : format(date, { day: "numeric", month: "short" });
}
