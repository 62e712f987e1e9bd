// The page's stream does what its Python twin does: tests/vectors/make.py explains the cases.

import "./browser.mjs";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const SDK = process.env.SDK ?? new URL("../../web/sdk/src", import.meta.url);
const { Stream } = await import(`${SDK}/stream.js`);

const cases = JSON.parse(readFileSync(new URL("../vectors/stream.json", import.meta.url), "utf-8"));

// The page trusts the form of what its own server sends.
const FORMS = ["a malformed event is", "an entry that cannot be read is", "an event without a number is"];
const ofForm = ({ name }) => FORMS.some((start) => name.startsWith(start));
assert.equal(cases.filter(ofForm).length, FORMS.length);

const flooded = (number) => ({ epoch: "e1", seq: number, n: number, type: "message", ts: "", data: {} });

function perform(stream, [what, first, second]) {
  if (what === "event") return [stream.on(first, second)];
  if (what === "answer") return [stream.on("answer", first)];
  if (what === "flood") {
    return Array.from({ length: second - first + 1 }, (_, at) => stream.on("entry:appended", flooded(first + at)));
  }
  if (what !== "disconnected") return [stream.on(`conversation:${what}`, first)];
  stream.disconnected();
  return [];
}

const ascending = (numbers) => [...numbers].sort((a, b) => a - b);

for (const { name, position, steps, state } of cases.filter((one) => !ofForm(one))) {
  test(`stream: ${name}`, () => {
    const stream = Object.assign(new Stream(), { position });
    for (const [number, { do: call, entries = [], hidden = [], reset, sync = false }] of steps.entries()) {
      const before = reset ? new Set() : new Set(stream.hidden);
      const done = perform(stream, call);
      const got = {
        entries: done.flatMap((step) => step.entries.map(({ seq }) => seq)),
        hidden: ascending([...stream.hidden].filter((seq) => !before.has(seq))),
        sync: done.some((step) => step.sync),
      };
      assert.deepEqual(got, { entries, hidden, sync }, `step ${number}: ${call}`);
    }
    const { n, hidden, runs, interrupts, syncing } = stream;
    const got = {
      position: stream.position,
      n,
      in_step: !syncing,
      hidden: ascending(hidden),
      runs: [...runs.values()],
      interrupts: [...interrupts].map(([id, { value }]) => [id, value]),
    };
    assert.deepEqual(got, state);
  });
}
