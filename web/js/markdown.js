// Shows Markdown as nodes. marked only splits the text; every node is made here, so nothing else can come in.

import { Lexer } from "/vendor/marked.esm.js";
import { copy, fill, h } from "./dom.js";
import { t } from "./i18n.js";

const MAX_CHARS = 40000; // that are split at once; a longer block is shown as it is
const MAX_NODES = 5000; // of one go
const MAX_DEPTH = 12;
const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', nbsp: "\xa0" };
const ADDRESS = /(\bhttps?:\/\/[^\s<>"]*[^\s<>".,;:!?)'\]，。；：！？）》」])/;

let left = 0;

// A text that grows. Only its last block is split and made anew, so that all before stays as it is.
export class Markdown {
  #stands = 0; // characters in blocks that do not change any more
  #last = []; // the nodes of what comes after

  constructor(node) {
    this.node = node;
  }

  show(text) {
    const whole = text.replace(/\r\n?/g, "\n");
    for (let end = this.#stands; end < whole.length; ) {
      end = Math.min(whole.length, end + MAX_CHARS / 2);
      this.#grow(whole.slice(this.#stands, end));
    }
  }

  #grow(rest) {
    const tokens = split(rest);
    const last = tokens.findLastIndex(({ type }) => type !== "space");
    const [had] = this.#last;
    left = MAX_NODES;
    const parts = tokens.map((token, index) => {
      // A code block that goes on keeps its nodes: it may be scrolled, and its button is in use.
      if (index || token.type !== "code" || !had?.matches(".code")) return nodesOf([token]).map(block);
      had.querySelector("code").textContent = token.text;
      return [had];
    });
    for (const node of this.#last) if (node !== parts[0]?.[0]) node.remove();
    this.#last = parts.flat();
    this.node.append(...this.#last.filter((node) => node !== had));
    const at = tokens.slice(0, Math.max(last, 0)).reduce((sum, { raw }) => sum + raw.length, 0);
    if (!at || !rest.startsWith(tokens[last].raw, at)) return;
    this.#stands += at;
    this.#last = parts[last];
  }
}

// What a person wrote, as it is, with its addresses as links.
export const plain = (text) => text.split(ADDRESS).flatMap((part, index) => (index % 2 ? link(part, [part]) : part));

function split(text) {
  try {
    if (text.length <= MAX_CHARS) return new Lexer().lex(text);
  } catch {
    // Nested so deeply that it can only be meant to do harm.
  }
  return [{ raw: text }];
}

function nodesOf(tokens, depth = 0) {
  left -= tokens.length;
  if (left < 0 || depth > MAX_DEPTH) return [tokens.map(({ raw }) => raw).join("")];
  return tokens.flatMap((token) => KINDS[token.type]?.(token, (inner) => nodesOf(inner, depth + 1)) ?? token.raw);
}

const block = (node) => (node.nodeType ? node : h("p", {}, node));

// A link shows where it leads; one that leads elsewhere than to the web or to a mailbox is none.
function link(href, children) {
  const url = URL.canParse(href) && new URL(href);
  if (!/^(https?|mailto):$/.test(url.protocol)) return [...children, ` (${href})`];
  const bare = (address) => address.replace(/^(https?:\/\/|mailto:)|\/$/g, "");
  const node = h("a", { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow" }, ...children);
  const where = bare(url.href);
  if (bare(node.textContent) !== where) node.append(h("small", {}, ` (${where.slice(0, 80)})`));
  return [node];
}

const wrap = (tag) => ({ tokens }, inner) => h(tag, {}, ...inner(tokens));

const KINDS = {
  space: () => [],
  def: () => [],
  br: () => h("br"),
  hr: () => h("hr"),
  strong: wrap("strong"),
  em: wrap("em"),
  del: wrap("del"),
  paragraph: wrap("p"),
  blockquote: wrap("blockquote"),
  list_item: wrap("li"),
  heading: ({ depth, tokens }, inner) => h(`h${Math.min(depth + 2, 6)}`, {}, ...inner(tokens)),
  text: ({ text, tokens }, inner) => (tokens ? inner(tokens) : text.replace(/&(\w+);/g, (all, name) => ENTITIES[name] ?? all)),
  escape: ({ text }) => text,
  checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  codespan: ({ text }) => h("code", {}, text),
  link: ({ href, tokens }, inner) => link(href, inner(tokens)),
  image: ({ href, text }) => link(href, [text || href]),
  code: ({ lang, text }) => fill({ is: "code", lang: lang || " ", code: text || " ", copy: copyCode }),
  list: ({ ordered, start, items }, inner) => h(ordered ? "ol" : "ul", ordered ? { start } : {}, ...inner(items)),
  table({ header, rows, raw }, inner) {
    left -= rows.length * header.length;
    if (left < 0) return h("pre", {}, raw);
    const row = (cells) => h("tr", {}, ...cells.map(({ header, tokens }) => h(header ? "th" : "td", {}, ...inner(tokens))));
    return h("div", { className: "table", tabIndex: 0 }, h("table", {}, ...[header, ...rows].map(row)));
  },
};

const copyCode = ({ target }) => copy(target.closest("figure").querySelector("code").textContent, t("copied"));
