// Who is in the conversation, and which devices this person has.

import { $, arrange, complain, fill, toast } from "./dom.js";
import { briefly, language, t } from "./i18n.js";
import { nameOf, state } from "./state.js";

const isHere = ({ user_id, online }) => state.presence?.get(user_id) ?? online;

export class People {
  constructor(actions) {
    this.actions = actions;
    $("invite").onsubmit = (event) => {
      event.preventDefault();
      this.#invite(new FormData($("invite")).get("who").split(/[\s,，]+/).filter(Boolean));
    };
    $("people").addEventListener("toggle", ({ newState }) => newState === "open" && this.#load(state.open));
  }

  draw() {
    const c = state.open;
    if (c?.loaded && !c.members && state.link === "online" && this.asked !== c) this.#load(c);
    const members = c?.members ?? [];
    const here = members.filter(isHere).length;
    $("subtitle").textContent = members.length ? t("peopleHere", { n: members.length, here }) : "";
    $("subtitle").dataset.agent = c ? [t("agent"), t(c.agent)].join(" ") : "";
    arrange($("members"), members.map((member) => ({
      key: member.user_id,
      sign: [language(), isHere(member), member.role, nameOf(member.user_id)].join(),
      make: () => memberRow(member),
    })));
    const devices = state.devices ?? [];
    $("my-devices").textContent = devices.length ? t("deviceCount", { n: devices.length }) : "";
    arrange($("devices"), devices.map((device) => {
      const where = whereabouts(device);
      const make = () => this.#deviceRow(device, where);
      return { key: device.device_id, sign: [language(), device.device_name, where].join(), make };
    }));
  }

  #load(c) {
    this.asked = c;
    if (c) this.actions.loadMembers(c).catch(() => {});
  }

  async #invite(ids) {
    try {
      const invited = await this.actions.invite(state.open, ids);
      toast(invited?.length ? t("invitedNow", { who: invited.join(", ") }) : t("alreadyInvited"));
      $("invite").reset();
    } catch (error) {
      complain(error);
    }
  }

  // The name is edited where it stands.
  #deviceRow(device, where) {
    const { device_id, device_name, here } = device;
    const out = !here && (() => this.actions.signOutDevice(device_id).catch(complain));
    const node = fill("device", { where, out });
    const field = node.querySelector("input");
    field.value = device_name || device_id;
    field.onkeydown = ({ key }) => key === "Enter" && field.blur();
    field.onchange = () => {
      const name = field.value.trim();
      if (name) this.actions.renameDevice(device_id, name).catch(complain);
      else field.value = device_name;
    };
    node.classList.toggle("online", device.online);
    return node;
  }
}

function memberRow({ user_id, role, online }) {
  const name = nameOf(user_id);
  const here = isHere({ user_id, online });
  const about = [user_id === state.me && t("you"), role === "owner" && t("owner")].filter(Boolean).join(", ");
  const node = fill("member", { face: [...name][0].toUpperCase(), name, role: about, id: name !== user_id && user_id, here: t(here ? "here" : "away") });
  node.classList.toggle("online", here);
  return node;
}

// "this device · node 9001 · now", "last seen 10:42 · 2 entries behind"
function whereabouts({ device_id, here, online, sessions, last_seen }) {
  const behind = state.open?.behindOf?.(device_id);
  return [
    here && t("thisDevice"),
    online ? t("onNode", { node: sessions[0]?.node }) : t("lastSeen", { when: briefly(new Date(last_seen)) }),
    behind && !here ? t("behind", { n: behind }) : "",
  ].filter(Boolean).join(" · ");
}
