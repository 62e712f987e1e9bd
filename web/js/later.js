// The modules that a conversation is shown and written in without: fetched when the page is online and idle, or first
// wanted, so that none is missing when the node dies or the network goes.

import { wait } from "./connection.js";
import { changed } from "./state.js";

const REST = ["said", "deeds", "people", "marks", "typing", "dialog", "search", "keys", "adoption"];

export const here = {}; // name -> module that has come
const coming = {}; // name -> promise of it
let page;
let due;

// What their `begin` is given.
export const furnish = (given) => (page = given);

// Never rejects: what could not be fetched is tried again.
export const want = (name) => (coming[name] ??= load(name));

export const wantRest = () => (due ??= (globalThis.requestIdleCallback ?? setTimeout)(() => REST.forEach(want)));

async function load(name) {
  for (let tries = 0; !here[name]; tries++) {
    // Some browsers remember that an address has failed.
    const fetched = import(`./${name}.js${tries ? `?${tries}` : ""}`);
    here[name] = await fetched.catch(() => wait(Math.min(30_000, 1000 * 2 ** tries)));
  }
  here[name].begin?.(page);
  changed();
  return here[name];
}

// What is done with a part of the page before its module (`data-by`) is there, is done again then.
for (const [type, tag] of [["click", "button"], ["submit", "form"]]) {
  document.addEventListener(type, async (event) => {
    const part = event.target.closest(`${tag}[data-by]`);
    if (!part || here[part.dataset.by]) return;
    event.preventDefault();
    await want(part.dataset.by);
    if (tag === "form") part.requestSubmit();
    else part.click();
  });
}
