// Who is in the conversation, and which devices this person has.

import { $, complain, show, toast } from "./dom.js";
import { briefly, t } from "./i18n.js";
import { state } from "./state.js";

export class People {
  #asked = null;

  constructor(actions) {
    this.actions = actions;
    const form = $("invite");
    form.onsubmit = async (event) => {
      event.preventDefault();
      try {
        const { invited } = await actions.invite(state.open, form[0].value.trim().split(/[\s,，]+/));
        toast(invited.length ? t("invitedNow", { who: invited.join(", ") }) : t("alreadyInvited"));
        form.reset();
      } catch (error) {
        complain(error);
      }
    };
  }

  draw() {
    const { open: c, devices, link, me } = state;
    if (c?.loaded && link === "online" && this.#asked !== c) this.actions.loadMembers((this.#asked = c)).catch(() => {});
    const members = c?.members ?? [];
    const n = members.length;
    $("subtitle").textContent = n ? t("peopleHere", { n, here: members.filter((one) => one.online).length }) : "";
    $("my-devices").textContent = t("deviceCount", { n: devices.length });
    show($("members"), members.map(({ user_id: id, name, role, online }) => {
      const about = [id === me && t("you"), role === "owner" && t("owner")].filter(Boolean).join(", ");
      const set = { className: online ? "online" : "" };
      return { is: "member", key: id, set, face: [...name][0].toUpperCase(), name, about, id, here: t(online ? "here" : "away") };
    }));
    show($("devices"), devices.map((device) => this.#device(device)));
  }

  // "this device · node 9001 · now", "last seen 10:42 · 2 entries behind"; the name is edited where it stands.
  #device({ device_id, device_name, here, online, sessions, last_seen }) {
    const behind = !here && state.open?.behindOf(device_id);
    const where = [
      here && t("thisDevice"),
      online ? t("onNode", { node: sessions[0]?.node }) : t("lastSeen", { when: briefly(new Date(last_seen)) }),
      behind && t("behind", { n: behind }),
    ];
    return {
      is: "device",
      key: device_id,
      set: { className: online ? "online" : "" },
      where: where.filter(Boolean).join(" · "),
      out: !here && (() => this.actions.signOutDevice(device_id).catch(complain)),
      device_name,
      dress: (node) => {
        const [field] = node.getElementsByTagName("input");
        field.value = device_name || device_id;
        field.onkeydown = ({ key }) => key === "Enter" && field.blur();
        field.onchange = () => {
          const name = field.value.trim();
          if (name) this.actions.renameDevice(device_id, name).catch(complain);
        };
      },
    };
  }
}
