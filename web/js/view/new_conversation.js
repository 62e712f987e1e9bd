// A new conversation in one step, another agent for it, and joining one by its link.

import { $, h, onSubmit } from "../dom.js";
import { t } from "../i18n.js";
import { nameOf, onChange, state } from "../state.js";
import { addressed } from "./header.js";
import { address } from "./list.js";

let client;
let creating = null;

// Anyone with the link may join, until the owner decides otherwise: the first thing that people do is to share it. A second
// click while it is on its way is for the same one.
export function create(settings) {
  creating ??= client.create({ access: "open", ...settings }).finally(() => (creating = null));
  return creating.then((id) => {
    location.hash = address(id);
  });
}

export function begin(page) {
  ({ client } = page);
  const menu = $("new-menu");
  for (const button of document.querySelectorAll("button[data-by=newConversation]")) button.onclick = () => create();
  onSubmit($("join-form"), ({ where }) => {
    location.hash = address(addressed(where) || where.trim());
    menu.hidePopover();
    $("join-form").reset();
  });
  const withGraph = (graph) => {
    const button = h("button", t("newWith", { name: nameOf(`agent:${graph}`) }));
    button.value = graph;
    button.onclick = () => {
      menu.hidePopover();
      return create({ graph });
    };
    return button;
  };
  const people = () => Object.assign(h("button", t("newPeople")), { value: "", onclick: () => (menu.hidePopover(), create({ agent: "off" })) });
  let drawn;
  onChange(() => {
    const sign = JSON.stringify([state.graphs, t("locale"), [...state.names.keys()].filter((id) => id.startsWith("agent:"))]);
    if (drawn === sign) return;
    drawn = sign;
    $("graphs").replaceChildren(...state.graphs.map(withGraph), people());
  });
}
