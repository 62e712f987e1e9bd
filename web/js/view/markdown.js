// Shows Markdown as nodes. marked only parses; every node is made here, so nothing else can come in.

import { Lexer, Tokenizer, defaults } from "../../vendor/marked.esm.js";
import { copy } from "../clipboard.js";
import { fill, h } from "../dom.js";
import { t } from "../i18n.js";
import { unbroken } from "./values.js";

const MAX_CHARS = 40_000; // that are parsed at once; a longer block is shown as it is
const MAX_NODES = 5000; // at once
const MAX_DEPTH = 12;
const DEEP = /^[ \t]*(>[ \t]*|[-*+][ \t]+|\d+[.)][ \t]+){40}/m; // an attack
const ENTITIES = { __proto__: null, amp: "&", lt: "<", gt: ">", quot: '"', nbsp: "\xa0" };
// Ends before punctuation, and with a bracket only if it was opened inside.
const ADDRESS = /(\bhttps?:\/\/(?:[^\s<>"()，。；：！？）》」]|\([^\s<>"()]*\))*(?:[^\s<>"().,;:!?'\]，。；：！？）》」]|\([^\s<>"()]*\)))/;

// Between letters or digits a star is one: 3*4*5.
class Signs extends Tokenizer {
  emStrong(text, masked, before) {
    return /^\*[^*]/.test(text) && /[A-Za-z0-9)]$/.test(before) && /^\*[A-Za-z0-9(]/.test(text) ? undefined : super.emStrong(text, masked, before);
  }
}

let left;
let linking = false;

// Shows a growing text. Only its last block is parsed and built again.
export function markdown(parent) {
  let done = 0; // characters in blocks that no longer change
  let last = []; // the nodes of what comes after
  const grow = (rest) => {
    const tokens = split(rest);
    const end = tokens.findLastIndex(({ type }) => type !== "space");
    const [had] = last;
    left = MAX_NODES;
    const parts = tokens.map((token, index) => {
      // A code block that continues keeps its nodes: it may be scrolled, and its button is in use.
      if (index || token.type !== "code" || !had?.matches(".code")) return nodesOf([token]).map(block);
      had.querySelector("span").textContent = token.lang;
      had.querySelector("code").textContent = token.text;
      return [had];
    });
    for (const node of last) if (node !== parts[0][0]) node.remove();
    last = parts.flat();
    parent.append(...last.filter((node) => node !== had));
    const at = tokens.slice(0, end).reduce((sum, { raw }) => sum + raw.length, 0);
    if (end < 1 || !rest.startsWith(tokens[end].raw, at)) return;
    done += at;
    last = parts[end];
  };
  return (text) => {
    const whole = text.replace(/\r\n?/g, "\n");
    for (let end = done; end < whole.length; grow(whole.slice(done, end))) end += MAX_CHARS / 2;
  };
}

// Each block runs in the direction of its own script, but code never from the right.
function block(node) {
  const made = node.nodeType ? node : h("p", node);
  if (!made.matches(".code")) made.dir = "auto";
  return made;
}

// Texts with their addresses as links. marked takes all up to the next space, and knows Latin hosts only.
const linked = (text) => text.split(ADDRESS).flatMap((part, index) => (index % 2 ? link(part, [part]) : unbroken(part)));

// A link holds no other.
function insideLink(tokens, inner) {
  const outer = linking;
  linking = true;
  const made = inner(tokens);
  linking = outer;
  return made;
}

function leaf(text) {
  const decoded = text.replace(/&(\w+);/g, (all, name) => ENTITIES[name] ?? all);
  return linking ? [decoded] : linked(decoded);
}

function split(text) {
  try {
    if (text.length <= MAX_CHARS && !DEEP.test(text)) return new Lexer({ ...defaults, tokenizer: new Signs() }).lex(text);
  } catch {
    // Nested too deeply in some other way.
  }
  return [{ raw: text }, { type: "def", raw: "" }]; // shown as it is, and not parsed again
}

function nodesOf(tokens, depth = 0) {
  left -= tokens.length;
  if (left < 0 || depth > MAX_DEPTH) return [tokens.map(({ raw }) => raw).join("")];
  return tokens.flatMap((token) => KINDS[token.type]?.(token, (inner) => nodesOf(inner, depth + 1)) ?? token.raw);
}

// A link shows where it leads: to the web or a mailbox, nowhere else.
export function link(address, text) {
  const { protocol, href } = URL.canParse(address) && new URL(address);
  if (!/^(https?|mailto):$/.test(protocol)) return [...text, ` (${address})`];
  const bare = (some) => some.replace(/^(https?:\/\/|mailto:)|\/$/g, "");
  const same = bare(h("p", ...text).textContent) === bare(href);
  return fill({ is: "link", set: { href }, text, where: !same && ` (${bare(href).slice(0, 80)})` });
}

const as = (tag) => ({ tokens }, inner) => h(tag, ...inner(tokens));

const KINDS = {
  space: () => [],
  def: () => [],
  br: () => h("br"),
  hr: () => h("hr"),
  strong: as("strong"),
  em: as("em"),
  del: as("del"),
  paragraph: as("p"),
  blockquote: as("blockquote"),
  list_item: (token, inner) => Object.assign(as("li")(token, inner), token.task && { className: "task" }),
  heading: (token, inner) => as(`h${Math.min(token.depth + 2, 6)}`)(token, inner),
  text: ({ text, tokens }, inner) => (tokens ? inner(tokens) : leaf(text)),
  escape: ({ text }) => text,
  checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  codespan: ({ text }) => h("code", text),
  link: ({ href, raw, text, tokens }, inner) => (raw === text && /^https?:/.test(raw) ? linked(raw) : link(href, insideLink(tokens, inner))),
  image: ({ href, text }) => link(href, [text || href]),
  code: ({ lang, text }) => fill({ is: "code", lang: [lang ?? ""], code: [text], copy: copyCode }),
  list: ({ ordered, start, items }, inner) => Object.assign(h(ordered ? "ol" : "ul", ...inner(items)), ordered && { start }),
  table({ header, rows, raw }, inner) {
    left -= rows.length * header.length;
    const made = (cell) => as(cell.header ? "th" : "td")(cell, inner);
    const row = (cells) => h("tr", ...cells.map((cell) => Object.assign(made(cell), cell.align && { className: cell.align })));
    return left < 0 ? raw : fill({ is: "table", rows: [header, ...rows].map(row) });
  },
};

const copyCode = ({ target }) => copy(target.closest("figure").querySelector("code").textContent, t("copied"));
