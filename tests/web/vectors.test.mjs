// The pure cores do what their Python twins do: tests/vectors/make.py explains the cases.

import "./browser.mjs";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const WEB = process.env.WEB_JS ?? new URL("../../web/js", import.meta.url);
const { Delivery } = await import(`${WEB}/conversation/delivery.js`);
const { Conversation } = await import(`${WEB}/conversation/conversation.js`);
const { stepsOf } = await import(`${WEB}/view/steps.js`);

const cases = (name) => JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), "utf-8"));

const range = (first, last) => Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);

function deliver(delivery, [call, epoch, ...rest]) {
  if (call === "entry") return [delivery.onEntry(epoch, rest[0], rest[0])];
  if (call === "flood") return range(...rest).map((seq) => delivery.onEntry(epoch, seq, seq));
  if (call === "page") return [delivery.onPage(epoch, rest[0], range(rest[1] ?? 1, rest[2] ?? 0).map((seq) => [seq, seq]))];
  delivery.readFailed();
  return [];
}

for (const { name, epoch, seq, steps } of cases("delivery")) {
  test(`delivery: ${name}`, () => {
    const delivery = new Delivery({ epoch, seq });
    steps.forEach(({ do: call, hand_on = [1, 0], ...expected }, number) => {
      const given = deliver(delivery, call);
      const got = {
        entries: given.flatMap((step) => step.entries),
        read_after: given.map((step) => step.readAfter).filter((after) => after !== null),
        reset: given.some((step) => step.reset),
        seq: delivery.position.seq,
        behind: delivery.missing > 0,
      };
      const { read_after, reset = false, seq, behind } = expected;
      const wanted = { entries: range(...hand_on), read_after: [read_after ?? []].flat(), reset, seq, behind };
      assert.deepEqual(got, wanted, `step ${number}: ${call}`);
    });
  });
}

for (const { name, steps } of cases("live")) {
  test(`live: ${name}`, () => {
    const conversation = new Conversation("c", {});
    const { answer } = conversation;
    const over = new Map(); // run:finished came: the text stays as it is until the entry is there
    steps.forEach(({ do: [call, ...about], missing, runs }, number) => {
      if (call === "event") {
        assert.equal(answer.onEvent(...about), !missing, `step ${number}`);
        const run = about[0] === "run:finished" && answer.runs.get(about[1].run_id);
        if (run && !over.has(run.run_id)) over.set(run.run_id, run.text);
      } else if (call === "view") {
        answer.onCard(...about);
      } else {
        conversation.add([{ seq: 1, ts: "", type: about[0], data: { run_id: about[1], interrupts: [] } }]);
        assert.ok(!answer.runs.has(about[1]), `step ${number}: its entry ends a run`);
      }
      const got = [...answer.runs.values()].filter((run) => !over.has(run.run_id));
      const shown = got.map((run) => [run.run_id, run.attempt, run.text, stepsOf(run).map((update) => update.number)]);
      assert.deepEqual(shown, runs, `step ${number}: ${call} ${JSON.stringify(about)}`);
      for (const run of got) assert.equal(run.length, [...run.text].length);
      for (const [runId, text] of over) assert.equal(answer.runs.get(runId)?.text ?? text, text);
    });
  });
}
