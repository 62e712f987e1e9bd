// Who is typing in the open conversation. Nothing depends on it.

import { write } from "../dom.js";
import { t } from "../i18n.js";
import { nameOf, onChange, state } from "../state.js";

export const begin = () => onChange(draw);

function draw() {
  const typists = [...(state.open?.typing.keys() ?? [])].filter((userId) => userId !== state.me);
  const n = typists.length;
  write({ typing: n ? t("typing", { names: typists.map(nameOf).join(", "), n }) : "" });
}
