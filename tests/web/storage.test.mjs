// What a page remembers, where, and how a token comes into it and not into the address.

import "./browser.mjs";
import assert from "node:assert/strict";
import { test } from "node:test";

let pages = 0;

// Load the module again, as a page at this address does.
async function load(address, blocked = false) {
  const replaced = [];
  globalThis.location = new URL(address);
  globalThis.history = { replaceState: (_, title, url) => replaced.push(url) };
  const { sessionStorage } = globalThis;
  if (blocked) Object.defineProperty(globalThis, "sessionStorage", { get: () => { throw new Error("forbidden"); }, configurable: true });
  const { ...module } = await import(`../../web/js/storage.js?${(pages += 1)}`);
  return { ...module, replaced, unblock: () => Object.defineProperty(globalThis, "sessionStorage", { value: sessionStorage, configurable: true }) };
}

test("a token in the address is taken and removed, and the rest stays", async () => {
  const { stored, replaced } = await load("http://127.0.0.1:9000/?token=ey.1&frame=phone#c=plans");
  assert.equal(stored.token, "ey.1");
  assert.deepEqual(replaced, ["/?frame=phone#c=plans"]);
  const plain = await load("http://127.0.0.1:9000/?token=ey.2");
  assert.deepEqual(plain.replaced, ["/"]);
  assert.deepEqual((await load("http://127.0.0.1:9000/#c=plans")).replaced, []);
});

test("frames of one tab keep apart what they remember, and share the language", async () => {
  const phone = await load("http://127.0.0.1:9000/?frame=phone");
  Object.assign(phone.stored, { device: "phone-1", lang: "zh" });
  const laptop = await load("http://127.0.0.1:9000/?frame=laptop");
  assert.equal(laptop.stored.device, null);
  assert.equal(laptop.stored.lang, "zh");
  assert.equal(JSON.parse(sessionStorage.getItem("roomgraph.phone.device")), "phone-1");
  assert.equal(JSON.parse(localStorage.getItem("roomgraph.lang")), "zh");
  assert.equal(sessionStorage.getItem("roomgraph.lang"), null);
});

test("a stage may have written token, device and nodes before", async () => {
  sessionStorage.setItem("roomgraph.tablet.nodes", '["http://127.0.0.1:9001"]');
  const { stored } = await load("http://127.0.0.1:9000/?frame=tablet");
  assert.deepEqual(stored.nodes, ["http://127.0.0.1:9001"]);
});

test("a reloaded page is the same device, a duplicated tab is another one", async () => {
  const first = await load("http://127.0.0.1:9000/");
  const device = first.deviceId();
  assert.equal((await load("http://127.0.0.1:9000/")).deviceId(), device);
  first.stored.in_use = true;
  assert.notEqual((await load("http://127.0.0.1:9000/")).deviceId(), device);
});

test("without storage the page remembers in memory", async () => {
  const { stored, unblock } = await load("http://127.0.0.1:9000/?token=ey.3", true);
  stored.notice = { code: "x" };
  assert.deepEqual([stored.token, stored.notice, stored.device ?? null], ["ey.3", { code: "x" }, null]);
  unblock();
});
