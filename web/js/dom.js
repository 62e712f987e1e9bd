// Fills the page from its templates. Text goes in as text only, never as HTML.

import { explain, language, translate } from "./i18n.js";

export const $ = (id) => document.getElementById(id);

export function h(tag, ...children) {
  const node = document.createElement(tag);
  node.append(...children);
  return node;
}

// {id: text} and {id: what a click does}
export const write = (texts) => Object.keys(texts).forEach((id) => ($(id).textContent = texts[id]));
export const onClick = (acts) => Object.keys(acts).forEach((id) => ($(id).onclick = () => acts[id]()));

export const onSubmit = (form, act) =>
  (form.onsubmit = (event) => {
    event.preventDefault();
    return act(Object.fromEntries(new FormData(form)));
  });

// A copy of the template `is`. Parts with data-is get the value of that name: what a click does, or text and nodes;
// parts without a value are removed. `set` are properties of the whole.
export function fill({ is, set, ...values }) {
  const node = $(`t-${is}`).content.firstElementChild.cloneNode(true);
  for (const part of node.querySelectorAll("[data-is]")) {
    const value = values[part.dataset.is];
    if (!value) part.remove();
    else if (value.call) part.onclick = value;
    else if (value !== true) part.replaceChildren(...[value].flat());
  }
  translate(node);
  return Object.assign(node, set);
}

// Make `parent` hold a copy for each item {is, key, ...}, in order, built again only when its values have changed.
// `dress(node, had)` adds what is not a value; `had` is replaced.
export function show(parent, items) {
  const had = parent.shown ?? new Map();
  parent.shown = new Map();
  for (const item of items) {
    const sign = JSON.stringify(item) + language();
    let one = had.get(item.key);
    had.delete(item.key);
    if (one?.sign !== sign) {
      const node = fill(item);
      item.dress?.(node, one?.node);
      one?.node.replaceWith(node);
      one = { node, sign };
    }
    parent.shown.set(item.key, one);
  }
  for (const { node } of had.values()) node.remove();
  let place = parent.firstChild;
  for (const { node } of parent.shown.values()) {
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
}

// Where the person goes on. On a touch screen it would open the keyboard.
export const focusField = () => $(matchMedia("(hover: hover)").matches ? "text" : "scroller").focus({ preventScroll: true });

let hiding;

export function toast(text) {
  const box = $("toast");
  box.textContent = text;
  box.hidePopover(); // and show it above what was opened since
  box.showPopover();
  clearTimeout(hiding);
  hiding = setTimeout(() => box.hidePopover(), 6000);
}

// Developers find the error in the console, with its trace.
export function complain(error) {
  console.warn(error);
  toast(explain(error));
}
