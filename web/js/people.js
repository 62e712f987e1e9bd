// Who is in the conversation, and which devices this person has.

import { $, copy, onClick, onSubmit, show, toast, write } from "./dom.js";
import { t } from "./i18n.js";
import { briefly } from "./list.js";
import { behindOf } from "./marks.js";
import { onChange, state } from "./state.js";
import { deviceName, stored } from "./storage.js";

const listed = (mark, ...parts) => parts.filter(Boolean).join(mark);

export function begin({ actions }) {
  let asked;
  onSubmit($("invite"), async ({ who }) => {
    const { invited } = await actions.invite(state.open, who.trim().split(/[\s,，]+/));
    toast(invited[0] ? t("invitedNow", { who: invited.join(", "), n: invited.length }) : t("alreadyInvited"));
    $("invite").reset();
  });
  onClick({
    "copy-link": () => copy(location.href, t("copied")),
    "copy-id": () => copy(state.me, t("copied")),
    "copy-token": () => copy(stored.token, t("copied")),
    "sign-out": () => actions.signOut(),
    leave() {
      $("people").hidePopover();
      return actions.leave(state.open);
    },
  });

  const member = ({ user_id: id, name, role, online }) => ({
    is: "member",
    key: id,
    set: { className: online && "online" },
    face: [...name][0].toUpperCase(),
    name,
    about: listed(", ", id === state.me && t("you"), role === "owner" && t("owner")),
    id,
    here: t(online ? "here" : "away"),
  });

  // "this device · node 9001 · now", "last seen 10:42 · 2 entries behind"; the name is edited where it stands.
  const device = ({ device_id: key, device_name: name, here, online, sessions, last_seen }) => {
    const n = !here && state.open && behindOf(state.open, key);
    const now = online ? t("onNode", sessions[0]) : t("lastSeen", { when: briefly(new Date(last_seen)) });
    return {
      is: "device",
      key,
      set: { className: online && "online" },
      name,
      where: listed(" · ", here && t("thisDevice"), now, n && t("behind", { n })),
      out: !here && (() => actions.signOutDevice(key)),
      dress(node) {
        const field = node.querySelector("input");
        field.value = name || key;
        field.onkeydown = (event) => event.key !== "Enter" || field.blur();
        field.onchange = () => {
          field.value = field.value.trim() || (here && deviceName()) || name || key;
          return actions.renameDevice(key, field.value);
        };
      },
    };
  };

  onChange(() => {
    const { open: c, devices, link } = state;
    if (c?.loaded && link === "online" && asked !== c) actions.loadMembers((asked = c));
    const members = c?.members ?? [];
    const n = members.length;
    write({
      subtitle: n ? t("peopleHere", { n, here: members.filter(({ online }) => online).length }) : "",
      "my-devices": t("deviceCount", { n: devices.length }),
    });
    show($("members"), members.map(member));
    show($("devices"), devices.map(device));
  });
}
