// The settings of the open conversation, in its panel: each is changed at once, by the owner.

import { change } from "../../sdk/src/change.js";
import { $, complain, onSubmit, write } from "../dom.js";
import { t } from "../i18n.js";
import { changed, onChange, state } from "../state.js";

// By the name of the field: what the page calls it.
const KEPT_AS = { title: "title", access: "access", agent: "agent", multitask_strategy: "strategy", approvals: "approvals", invites: "invites" };

export function begin({ client: { connection } }) {
  const form = $("settings");
  const fields = Object.keys(KEPT_AS).map((name) => form.elements[name]);

  async function set(field) {
    const c = state.open;
    const { name, value } = field;
    const [event, fields_] = name === "title" ? ["conversation:rename", { title: value.trim() }] : ["conversation:configure", { [name]: value }];
    const before = c[KEPT_AS[name]];
    c[KEPT_AS[name]] = Object.values(fields_)[0];
    try {
      await change(connection, event, { conversation_id: c.id, ...fields_ });
    } catch (error) {
      c[KEPT_AS[name]] = before;
      complain(error);
    }
    changed();
  }

  for (const field of fields) field.onchange = () => set(field);
  onSubmit(form, () => document.activeElement.blur());
  onChange(() => {
    const c = state.open;
    if (!c) return;
    const owner = c.role === "owner";
    for (const field of fields) {
      field.disabled = !owner;
      if (field !== document.activeElement || field.tagName === "SELECT") field.value = c[KEPT_AS[field.name]] ?? "";
    }
    form.elements.title.placeholder = t("untitled");
    write({ "settings-note": owner ? "" : t("onlyOwnerSets") });
    $("delete").hidden = !owner;
  });
}
