// Makes and finds nodes. Text goes in as text only, never as HTML.

import { explain } from "./i18n.js";

export const $ = (id) => document.getElementById(id);

// h("p.quiet", {title: "..."}, "text", node): a node with classes, properties and children.
export function h(what, properties = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const node = document.createElement(tag);
  node.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

export const icon = (name) => $("icons").content.querySelector(`.${name}`).cloneNode(true);

// Make `parent` hold these {key, sign, make} items in this order; a node is made anew only when its sign changed.
export function arrange(parent, items) {
  const nodes = (parent.nodes ??= new Map());
  const kept = new Set(items.map((item) => item.key));
  for (const [key, { node }] of nodes) {
    if (kept.has(key)) continue;
    node.remove();
    nodes.delete(key);
  }
  let place = parent.firstChild;
  for (const { key, sign, make } of items) {
    const had = nodes.get(key);
    let node = had?.node;
    if (had?.sign !== sign) {
      node = make(had?.node);
      if (had && had.node !== node) {
        if (place === had.node) place = node;
        had.node.replaceWith(node);
      }
      nodes.set(key, { node, sign });
    }
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
}

let hiding = 0;

// Say something in passing.
export function toast(text) {
  $("toast").textContent = text;
  $("toast").showPopover();
  clearTimeout(hiding);
  hiding = setTimeout(() => $("toast").hidePopover(), 6000);
}

export const complain = (error) => toast(explain(error));

// Copy a text, or show it to be copied by hand.
export async function copy(text, done) {
  try {
    await navigator.clipboard.writeText(text);
    toast(done);
  } catch {
    toast(text);
  }
}
