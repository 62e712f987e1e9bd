// Copies a text, or shows it to be copied by hand.

import { base } from "./address.js";
import { toast } from "./dom.js";
import { t } from "./i18n.js";

export const copy = (text, done) => navigator.clipboard.writeText(text).then(() => toast(done), () => toast(text));

// Where others reach this server: what its operator has set, otherwise as this page was opened.
export const publicAddress = () => document.querySelector("meta[name=public-url]")?.content ?? base;

// The link by which others join.
export const copyLink = (id) => copy(`${publicAddress()}/#c=${encodeURIComponent(id)}`, t("copied"));
