// A new conversation in one step, another agent for it, and joining one by its link.

import { $, h, onSubmit, write } from "../dom.js";
import { explain, t } from "../i18n.js";
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

// As the default is, and nobody has written in it yet.
const isUnused = (c) =>
  c.role === "owner" && !c.title && !c.last && !c.archived && c.access === "open" && c.agent === "always" &&
  c.graph === state.graphs[0] && !c.draft.text && !client.outbox.of(c.id)[0];

// A new one, or that which is still empty.
async function begun() {
  const unused = [...state.conversations.values()].find(isUnused);
  if (!unused) return create();
  location.hash = address(unused.id);
  if (unused === state.open) $("text").focus();
}

const ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;

// Resolves with what is wrong, or nothing.
async function join(where) {
  const id = addressed(where) || where.trim();
  if (!ID.test(id)) return t("notAConversation");
  const c = client.following.add(id);
  try {
    await c.open();
    location.hash = address(id);
  } catch (error) {
    if (!c.role) state.conversations.delete(id);
    return explain(error);
  }
}

export function begin(page) {
  ({ client } = page);
  const menu = $("new-menu");
  for (const button of document.querySelectorAll("button[data-by=newConversation]")) button.onclick = begun;
  const showError = (wrong = "") => write({ "join-error": wrong });
  menu.addEventListener("toggle", () => showError());
  onSubmit($("join-form"), async ({ where }) => {
    const wrong = await join(where);
    showError(wrong);
    if (wrong) return;
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
