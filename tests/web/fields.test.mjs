// What a schema means for the field of a form, and which values are shown as a table.

import "./browser.mjs";
import assert from "node:assert/strict";
import { test } from "node:test";

const { resolve } = await import("../../web/js/view/fields.js");
const { inWords, isFlat } = await import("../../web/js/view/values.js");

test("an optional value has the schema of its value", () => {
  assert.deepEqual(resolve({ anyOf: [{ type: "integer", minimum: 1 }, { type: "null" }], title: "Size" }), { type: "integer", minimum: 1, title: "Size", nullable: true });
  assert.deepEqual(resolve({ type: ["string", "null"] }), { type: "string", nullable: true });
});

test("references lead to the definitions of the whole schema", () => {
  const root = { $defs: { Room: { enum: ["a", "b"] } }, properties: { room: { $ref: "#/$defs/Room", title: "Room" } } };
  assert.deepEqual(resolve(root.properties.room, root), { enum: ["a", "b"], title: "Room" });
  assert.deepEqual(resolve({ allOf: [{ $ref: "#/$defs/Room" }] }, root), { enum: ["a", "b"] });
});

test("a schema that names itself ends", () => {
  const root = { $defs: { A: { $ref: "#/$defs/A" } } };
  assert.deepEqual(resolve({ $ref: "#/$defs/A" }, root), {});
});

test("of several types none is chosen", () => {
  assert.equal(resolve({ anyOf: [{ type: "string" }, { type: "number" }] }).mixed, true);
});

test("objects without nested values are tables, and texts are shown without quotes", () => {
  assert.deepEqual([{ a: 1, b: null }, { a: [] }, [], null, "a"].map(isFlat), [true, false, false, false, false]);
  assert.deepEqual([inWords("a"), inWords({ a: 1 })], ["a", '{"a":1}']);
});
