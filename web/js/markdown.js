// Shows Markdown as nodes. marked only splits the text; every node is made here, so nothing else can come in.

import { Lexer } from "/vendor/marked.esm.js";
import { copy, fill, h } from "./dom.js";
import { t } from "./i18n.js";

const MAX_CHARS = 40000; // that are split at once; a longer block is shown as it is
const MAX_NODES = 5000; // of one go
const MAX_DEPTH = 12;
const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'", nbsp: "\xa0" };
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
    const at = tokens.slice(0, Math.max(last, 0)).reduce((sum, { raw }) => sum + raw.length, 0);
    left = MAX_NODES;
    const parts = tokens.map((token, index) => (!index && this.#recode(token)) || nodesOf([token]).map(standing));
    for (const node of this.#last) if (node !== parts[0]?.[0]) node.remove();
    this.node.append(...parts.flat().filter((node) => node.parentNode !== this.node));
    this.#last = parts.flat();
    if (last < 1 || !rest.startsWith(tokens[last].raw, at)) return;
    this.#stands += at;
    this.#last = parts[last];
  }

  // A code block that goes on keeps its nodes: it may be scrolled, and its button is in use.
  #recode({ type, text }) {
    const [had] = this.#last;
    if (type !== "code" || !had?.matches(".code")) return null;
    had.querySelector("code").textContent = text;
    return this.#last;
  }
}

// What a person wrote, as it is, with its addresses as links.
export const plain = (text) => text.split(ADDRESS).flatMap((part, odd) => (odd % 2 ? link(part, [part]) : part));

function split(text) {
  try {
    if (text.length <= MAX_CHARS) return new Lexer().lex(text);
  } catch {
    // Nested so deeply that it can only be meant to do harm.
  }
  return [{ type: "html", raw: text, block: true }];
}

const nodesOf = (tokens, depth = 0) => {
  left -= tokens.length;
  if (left < 0 || depth > MAX_DEPTH) return [tokens.map(({ raw }) => raw).join("")];
  return tokens.flatMap((token) => KINDS[token.type]?.(token, (inner) => nodesOf(inner, depth + 1)) ?? token.raw);
};

const standing = (node) => (node.nodeType ? node : h("p", {}, node));

const decoded = (words) => words.replace(/&(\w+|#39);/g, (whole, name) => ENTITIES[name] ?? whole);

const wrap = (tag) => ({ tokens }, inner) => h(tag, {}, ...inner(tokens));

const row = (tag, cells, align, inner) =>
  h("tr", {}, ...cells.map(({ tokens }, index) => h(tag, { align: align[index] ?? "" }, ...inner(tokens))));

// A link shows where it leads; one that leads elsewhere than to the web or to a mailbox is none.
function link(href, children) {
  let url;
  try {
    url = new URL(href);
  } catch {
    // Not a whole address.
  }
  if (!/^(https?|mailto):$/.test(url?.protocol)) return [...children, ` (${href})`];
  const bare = (address) => address.replace(/^(https?:\/\/|mailto:)|\/$/g, "");
  const node = h("a", { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow" }, ...children);
  const where = bare(url.href);
  if (bare(node.textContent) !== where) node.append(h("small", {}, ` (${where.length > 80 ? `${where.slice(0, 80)}…` : where})`));
  return [node];
}

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
  heading: ({ depth, tokens }, inner) => h(`h${Math.min(depth + 2, 6)}`, {}, ...inner(tokens)),
  text: ({ text, tokens }, inner) => (tokens ? inner(tokens) : decoded(text)),
  escape: ({ text }) => text,
  checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  codespan: ({ text }) => h("code", {}, text),
  link: ({ href, tokens }, inner) => link(href, inner(tokens)),
  image: ({ href, text }) => link(href, [text || href]),
  code: ({ lang, text }) =>
    fill("code", { lang: lang || " ", code: text || " ", copy: ({ target }) => copy(target.closest("figure").querySelector("code").textContent, t("copied")) }),
  list: ({ ordered, start, items }, inner) =>
    h(ordered ? "ol" : "ul", ordered ? { start } : {}, ...items.map(({ tokens }) => h("li", {}, ...inner(tokens)))),
  table({ header, rows, align, raw }, inner) {
    left -= rows.length * header.length;
    if (left < 0) return h("pre", {}, raw);
    const body = rows.map((cells) => row("td", cells, align, inner));
    const table = h("table", {}, h("thead", {}, row("th", header, align, inner)), h("tbody", {}, ...body));
    return h("div.table", { tabIndex: 0 }, table);
  },
};
