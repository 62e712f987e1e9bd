// Makes and finds nodes. Text goes in as text only, never as HTML.

import { explain, translate } from "./i18n.js";

export const $ = (id) => document.getElementById(id);

// h("p.quiet", {title: "..."}, "text", node): a node with classes, properties and children.
export function h(what, properties = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  Object.assign(node, properties);
  node.append(...children);
  return node;
}

// A copy of the template. Its parts with data-is are given their values: text, nodes, or what a click does; a part
// without a value is left out.
export function fill(name, values = {}) {
  const node = $(`t-${name}`).content.firstElementChild.cloneNode(true);
  for (const part of node.querySelectorAll("[data-is]")) {
    const value = values[part.dataset.is];
    if (!value) part.remove();
    else if (typeof value === "function") part.onclick = value;
    else if (value !== true) part.replaceChildren(...[value].flat());
  }
  translate(node);
  return node;
}

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
    let { node, sign: old } = nodes.get(key) ?? {};
    if (!node || old !== sign) {
      const made = make(node);
      if (place === node) place = made;
      node?.replaceWith(made);
      node = made;
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
  $("toast").hidePopover();
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
