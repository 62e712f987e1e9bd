// The dialog in which a conversation is created or joined.

import { $, h, onSubmit } from "../dom.js";
import { state } from "../state.js";
import { addressed } from "./header.js";
import { address } from "./list.js";

export function begin({ client }) {
  const dialog = $("new-dialog");
  const enter = (id, act) =>
    onSubmit($(id), async (fields) => {
      location.hash = address(await act(fields));
      dialog.close();
      $(id).reset();
    });
  enter("create-form", (settings) => client.create(settings));
  enter("join-form", ({ where }) => addressed(where) || where.trim());
  for (const button of document.querySelectorAll("[data-by=newConversation]")) {
    button.onclick = () => {
      $("which-graph").hidden = !state.graphs[1];
      $("graphs").replaceChildren(...state.graphs.map((name) => h("option", name)));
      dialog.showModal();
    };
  }
}
