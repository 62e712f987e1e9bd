// A draft is the same on all devices, whichever of them was disconnected meanwhile.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Draft } from "../../web/js/conversation/draft.js";

const failing = () => Promise.reject(Object.assign(new Error("offline"), { retryable: true }));

test("another device's draft is not lost to a text that was sent while disconnected", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const saved = [];
  const draft = new Draft(failing, () => {});
  draft.edit("to be sent");
  draft.clear();
  await null;
  draft.save = async (text) => saved.push(text);
  draft.onRemote({ rev: 7, text: "written elsewhere" });
  assert.equal(draft.text, "written elsewhere");
  t.mock.timers.tick(10_000);
  await null;
  assert.deepEqual(saved, []);
});

test("a draft being written here is not replaced by another device's", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const draft = new Draft(async () => 8, () => {});
  draft.edit("mine");
  draft.onRemote({ rev: 7, text: "written elsewhere" });
  assert.equal(draft.text, "mine");
  await draft.flush();
  assert.equal(draft.text, "mine");
});
