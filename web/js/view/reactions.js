// Reactions to messages: counted from the entries that are loaded, and drawn below what they are of.

import { change } from "../../sdk/src/change.js";
import { complain, h } from "../dom.js";
import { t } from "../i18n.js";
import { nameOf, state } from "../state.js";
import { loaded } from "./loaded.js";

const counted = new WeakMap(); // conversation -> {sign, of: seq -> Map: reaction -> Map: user id -> name}

function all(c) {
  const entries = loaded(c);
  const sign = `${entries[0]?.seq} ${entries.length} ${c.entries[0]?.seq} ${c.stream.position?.epoch}`;
  if (counted.get(c)?.sign !== sign) {
    const of = new Map();
    for (const { type, data } of entries) {
      if (type !== "reaction_changed") continue;
      if (!of.has(data.to)) of.set(data.to, new Map());
      const given = of.get(data.to);
      if (!given.has(data.reaction)) given.set(data.reaction, new Map());
      if (data.set) given.get(data.reaction).set(data.user_id, data.name ?? nameOf(data.user_id));
      else given.get(data.reaction).delete(data.user_id);
    }
    counted.set(c, { sign, of });
  }
  return counted.get(c).of;
}

// [reaction, names, whether it is this user's as well] of an entry, in the order of their coming.
export function reactionsTo(c, seq) {
  const given = [...(all(c).get(seq) ?? [])].filter(([, people]) => people.size);
  return given.map(([reaction, people]) => [reaction, [...people.values()], people.has(state.me)]);
}

export const react = (connection, c, seq, reaction, set) =>
  change(connection, "reaction:set", { conversation_id: c.id, seq, reaction, set }).catch(complain);

export function showReactions(box, connection, c, seq) {
  const button = ([reaction, names, mine]) => {
    const one = h("button", `${reaction} ${names.length}`);
    Object.assign(one, { ariaPressed: String(mine), title: t("reactedBy", { reaction, names: names.join(", ") }) });
    one.onclick = () => react(connection, c, seq, reaction, !mine);
    return one;
  };
  box.replaceChildren(...reactionsTo(c, seq).map(button));
}
