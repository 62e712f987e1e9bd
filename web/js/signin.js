// The sign-in page: a name makes a guest, a token is taken as it is.

import { $ } from "./dom.js";
import { explain } from "./i18n.js";
import { stored } from "./storage.js";

// Show the page until there is a token, then call `enter`.
export function signIn(enter) {
  $("signin").hidden = false;
  const say = (error) => ($("signin-error").textContent = error ? explain(error) : "");
  say(stored.notice);
  stored.notice = null;

  const enterWith = (token) => {
    stored.token = token;
    $("signin").hidden = true;
    enter();
  };
  const onSubmit = (id, act) =>
    $(id).addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = $(id).querySelector("button");
      button.disabled = true;
      say(null);
      await act(new FormData($(id)));
      button.disabled = false;
    });

  onSubmit("with-token", (form) => enterWith(form.get("token").trim()));
  onSubmit("as-guest", async (form) => {
    try {
      const body = JSON.stringify({ name: form.get("name") });
      const headers = { "Content-Type": "application/json" };
      const answer = await (await fetch("/api/guest", { method: "POST", body, headers })).json();
      if (answer.token) enterWith(answer.token);
      else say(answer.error);
    } catch {
      say({ code: "unavailable" });
    }
  });
}
