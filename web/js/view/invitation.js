// What an invitation shows before one is a member: the conversation's title, who invites, and the choice.

import { complain } from "../dom.js";
import { t } from "../i18n.js";
import { nameOf, state } from "../state.js";
import { choose } from "./confirm.js";
import { titleOf } from "./header.js";
import { address } from "./list.js";

const inviters = new Map(); // conversation id -> user id, of invitations that came while this page was open

export function begin({ client }) {
  client.on("event", (event, { change, conversation_id, by }) => {
    if (event === "conversation:changed" && change === "invited") inviters.set(conversation_id, by?.user_id);
  });
}

export async function show(c) {
  const inviter = state.names.has(inviters.get(c.id)) && nameOf(inviters.get(c.id));
  const text = inviter ? t("invitedBy", { name: inviter }) : t("invitedText");
  const asked = { title: titleOf(c), text, act: t("joinIt"), other: t("decline") };
  const choice = await choose(asked);
  if (choice === "yes") location.hash = address(c.id);
  else if (choice === "other") await c.leave().catch(complain);
}
