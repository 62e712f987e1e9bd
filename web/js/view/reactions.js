// Reactions to messages: drawn below what they are of.

import { complain, h } from "../dom.js";
import { t } from "../i18n.js";
import { nameOf, state } from "../state.js";
import { derived } from "./loaded.js";

// [reaction, names, whether it is this user's as well] of an entry, in the order of their coming.
export function reactionsTo(c, seq) {
  const nameIn = ({ user_id, name }) => name ?? nameOf(user_id);
  const given = derived(c).reactions.get(seq) ?? [];
  return given.map(({ reaction, users }) => [reaction, users.map(nameIn), users.some(({ user_id }) => user_id === state.me)]);
}

export function showReactions(box, c, seq) {
  const button = ([reaction, names, mine]) => {
    const one = h("button", `${reaction} ${names.length}`);
    Object.assign(one, { ariaPressed: String(mine), title: t("reactedBy", { reaction, names: names.join(", ") }) });
    one.onclick = () => c.react(seq, reaction, !mine).catch(complain);
    return one;
  };
  box.replaceChildren(...reactionsTo(c, seq).map(button));
}
