// Copies a text, or shows it to be copied by hand.

import { publicAddress } from "./address.js";
import { toast } from "./dom.js";
import { t } from "./i18n.js";

export const copy = (text, done) => navigator.clipboard.writeText(text).then(() => toast(done), () => toast(text));

// The link by which others join.
export const copyLink = (id) => copy(`${publicAddress()}/#c=${encodeURIComponent(id)}`, t("copied"));
