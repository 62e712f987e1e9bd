// A question that is answered with what matches a JSON Schema: a field for each property, or JSON as it is.

import { fill, onSubmit } from "../dom.js";
import { t } from "../i18n.js";
import { field, resolve } from "./fields.js";
import { isObject, table } from "./values.js";

// `given`: how it was answered, or null. `send`: answers; without it nothing is asked here.
export function build({ schema }, given, send) {
  if (!send) return given === null || !isObject(given) ? "" : table(given);
  const known = resolve(schema);
  const properties = known.type === "object" && known.properties;
  const needed = known.required ?? [];
  const fields = properties
    ? Object.entries(properties).map(([name, one]) => field(name, one, undefined, needed.includes(name), schema))
    : [field("", { ...known, title: known.title ?? t("yourAnswer") }, undefined, true, schema)];
  const node = fill({ is: "schema", fields: fields.map((one) => one.node) });
  onSubmit(node, () => {
    const values = fields.map(({ name, read }) => [name, read()]);
    return send(properties ? Object.fromEntries(values.filter(([, value]) => value !== undefined)) : values[0][1]);
  });
  return node;
}
