// What is pasted: code is fenced, so that it is shown as it was copied, and files go with the message.

import { $ } from "../dom.js";
import { lazy } from "../lazy.js";
import { state } from "../state.js";

export const begin = () => ($("text").onpaste = onPaste);

const LINE = [
  /^(\t| {2,})\S/, // indented
  /[{}[\](;,:]\s*$/, // continues below, or ends a statement
  /^\s*(import|from|export|const|let|var|function|class|def|async|await|return|if|for|while|else|elif|try|except|with|pub|fn|use|package|func|type|struct|enum|interface|public|private|static|void|int|echo|sudo|SELECT|INSERT|UPDATE|CREATE|FROM|WHERE)\b[^.?!。？！]*[=({:;"'`<>$/]/,
  /^\s*(#include|#!|\/\/|\/\*|\*\/|@\w+$|<\/?\w+[^<]*>|[$>] \w|[)}\]])/,
  /^\s*[\w.$[\]"']+\s*(=|:=|\+=|=>|->|\()/,
];

// Whether most of the lines, and two at least, look like a program's.
export function looksLikeCode(text) {
  const lines = text.split("\n").filter((line) => line.trim());
  const like = lines.filter((line) => LINE.some((form) => form.test(line))).length;
  return like >= 2 && like * 5 >= lines.length * 3;
}

const FENCE = /^(`{3,}|~{3,})/gm;

// What to insert instead of `text` behind `before`, or null where it is to be pasted as it is.
export function fenced(text, before, language = "") {
  const code = text.replace(/\r\n?/g, "\n").replace(/^\n+|\s+$/g, "");
  const inside = (before.match(FENCE)?.length ?? 0) % 2;
  if (inside || code.match(FENCE) || !code.includes("\n") || !(language || looksLikeCode(code))) return null;
  const start = before && !before.endsWith("\n") ? "\n" : "";
  return `${start}\`\`\`${language}\n${code}\n\`\`\`\n`;
}

// Editors name the language of what was copied from them.
function languageOf(data) {
  try {
    const { mode = "" } = JSON.parse(data.getData("vscode-editor-data"));
    return /^(plaintext|markdown)$/.test(mode) ? "" : mode.replace(/\W/g, "");
  } catch {
    return "";
  }
}

function onPaste(event) {
  const { target: field, clipboardData } = event;
  if (clipboardData.files[0] && state.features.includes("files")) {
    event.preventDefault();
    lazy.attachments.load().then(({ take }) => take(clipboardData.files));
    return;
  }
  const { value, selectionStart } = field;
  const made = fenced(clipboardData.getData("text/plain"), value.slice(0, selectionStart), languageOf(clipboardData));
  if (made === null) return;
  event.preventDefault();
  // Unlike setRangeText, this can be undone.
  document.execCommand("insertText", false, made);
}
