// The panels of the conversation's members and of this person's devices.

import { change } from "../../sdk/src/change.js";
import { behindOf } from "../../sdk/src/delivery_marks.js";
import { copy, copyLink } from "../clipboard.js";
import { $, onClick, onSubmit, show, toast, write } from "../dom.js";
import { t } from "../i18n.js";
import { onChange, state } from "../state.js";
import { signOutAfterAsking } from "../sign_out.js";
import { deviceName, stored } from "../storage.js";
import { confirmed } from "./confirm.js";
import { leaveAfterAsking, removeAfterAsking } from "./item_menu.js";
import { briefly } from "./list.js";
import { beginNotifications } from "./notify.js";
import { initialOf, paint } from "./person.js";

// Who is invited now, and of whom the server has never heard: a typing error, or somebody who has yet to come.
function invitedText({ invited, unknown = [] }) {
  const known = invited.filter((id) => !unknown.includes(id));
  const said = [
    known[0] && t("invitedNow", { who: known.join(", "), n: known.length }),
    unknown[0] && t("invitedUnknown", { who: unknown.join(", ") }),
  ];
  return said.filter(Boolean).join(" ") || t("alreadyInvited");
}

const joined = (...parts) => parts.filter(Boolean).join(" · ");

export function begin({ client }) {
  const { connection } = client;
  let asked;
  beginNotifications(connection);
  onSubmit($("invite"), async ({ who }) => {
    const user_ids = who.trim().split(/[\s,，]+/);
    const answer = await change(connection, "conversation:invite", { conversation_id: state.open.id, user_ids });
    toast(invitedText(answer));
    $("invite").reset();
  });
  onClick({
    "copy-link": () => copyLink(state.open.id),
    "copy-id": () => copy(state.me, t("copied")),
    "copy-token": () => copy(stored.token, t("copied")),
    "sign-out": () => signOutAfterAsking(client),
    leave: () => leaveAfterAsking(state.open),
    delete: () => removeAfterAsking(state.open),
  });

  const member = ({ user_id: id, name, role, online }) => ({
    is: "member",
    key: id,
    set: { className: online && "online" },
    face: initialOf(name),
    name,
    dress: (node) => paint(node.firstElementChild, id),
    about: joined(id === state.me && t("you"), role === "owner" && t("owner")),
    id,
    here: t(online ? "here" : "away"),
  });

  async function signOutDevice(device_id, name) {
    const asked = { title: t("reallySignOut", { name }), text: t("signOutText"), act: t("signOut") };
    if (await confirmed(asked)) await change(connection, "device:sign_out", { device_id });
  }

  // "this device · online on node 9001", "last seen 10:42 · 2 entries behind"; the name is edited in place.
  const device = ({ device_id: key, device_name: name, here, online, sessions, last_seen }) => {
    const n = !here && state.open && behindOf(state.open, key);
    const now = online ? t("onNode", sessions[0]) : t("lastSeen", { when: briefly(new Date(last_seen)) });
    return {
      is: "device",
      key,
      set: { className: online && "online" },
      name,
      where: joined(here && t("thisDevice"), now, n && t("behind", { n })),
      out: !here && (() => signOutDevice(key, name)),
      dress(node) {
        const field = node.querySelector("input");
        field.value = name || key;
        field.onkeydown = (event) => event.key !== "Enter" || field.blur();
        field.onchange = () => {
          field.value = field.value.trim() || (here && deviceName()) || name || key;
          return change(connection, "device:rename", { device_id: key, device_name: field.value });
        };
      },
    };
  };

  onChange(() => {
    const { open: c, devices, link } = state;
    if (c?.loaded && link === "online" && asked !== c) (asked = c).loadMembers().catch(() => (asked = null));
    const members = c?.members ?? [];
    const n = members.length;
    write({
      subtitle: n ? t("peopleHere", { n, here: members.filter(({ online }) => online).length }) : "",
      "my-devices": t("deviceCount", { n: devices.length }),
    });
    $("invite").hidden = c?.invites === "owner" && c.owner !== state.me;
    show($("members"), members.map(member));
    show($("devices"), devices.toSorted((one, other) => other.here - one.here).map(device));
  });
}
