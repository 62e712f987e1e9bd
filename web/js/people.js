// Who is in the conversation, and which devices this person has.

import { $, show, toast } from "./dom.js";
import { briefly, t } from "./i18n.js";
import { state } from "./state.js";

const listed = (...parts) => parts.filter(Boolean);

// Returns what draws them.
export function people(actions) {
  let asked = null;
  const form = $("invite");
  form.onsubmit = async (event) => {
    event.preventDefault();
    const { invited } = await actions.invite(state.open, form[0].value.trim().split(/[\s,，]+/));
    toast(invited.length ? t("invitedNow", { who: invited.join(", ") }) : t("alreadyInvited"));
    form.reset();
  };

  const member = ({ user_id: id, name, role, online }) => ({
    is: "member",
    key: id,
    set: { className: online ? "online" : "" },
    face: [...name][0].toUpperCase(),
    name,
    about: listed(id === state.me && t("you"), role === "owner" && t("owner")).join(", "),
    id,
    here: t(online ? "here" : "away"),
  });

  // "this device · node 9001 · now", "last seen 10:42 · 2 entries behind"; the name is edited where it stands.
  const device = ({ device_id: key, device_name: name, here, online, sessions, last_seen }) => {
    const behind = !here && state.open?.behindOf(key);
    const now = online ? t("onNode", { node: sessions[0]?.node }) : t("lastSeen", { when: briefly(new Date(last_seen)) });
    return {
      is: "device",
      key,
      set: { className: online ? "online" : "" },
      name,
      where: listed(here && t("thisDevice"), now, behind && t("behind", { n: behind })).join(" · "),
      out: !here && (() => actions.signOutDevice(key)),
      dress(node) {
        const field = node.querySelector("input");
        field.value = name || key;
        field.onkeydown = (event) => event.key !== "Enter" || field.blur();
        field.onchange = () => actions.renameDevice(key, field.value.trim() || key);
      },
    };
  };

  return () => {
    const { open: c, devices, link } = state;
    if (c?.loaded && link === "online" && asked !== c) actions.loadMembers((asked = c));
    const members = c?.members ?? [];
    const n = members.length;
    $("subtitle").textContent = n ? t("peopleHere", { n, here: members.filter((one) => one.online).length }) : "";
    $("my-devices").textContent = t("deviceCount", { n: devices.length });
    show($("members"), members.map(member));
    show($("devices"), devices.map(device));
  };
}
