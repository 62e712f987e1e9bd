// The stage's words, from words/stage.<language>.json; the language is the page's.

import { kept } from "../address.js";

const words = {};
let lang = "en";

export const language = () => lang;

export const t = (key, values = {}) => (words[lang]?.[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "–");

// Speak this language from now on.
export async function speak(wanted) {
  words[wanted] ??= await (await fetch(new URL(`../../words/stage.${wanted}.json`, import.meta.url))).json();
  lang = wanted;
  localStorage.setItem(`${kept}.lang`, JSON.stringify(lang));
  document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-label]")) {
    node.setAttribute("aria-label", t(node.dataset.label));
    if (node.matches("button")) node.title = t(node.dataset.label);
  }
}

export function wantedLanguage() {
  try {
    return JSON.parse(localStorage.getItem(`${kept}.lang`)) ?? browsers();
  } catch {
    return browsers();
  }
}

const browsers = () => (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
