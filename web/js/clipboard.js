// Copies a text, or shows it to be copied by hand.

import { base } from "./address.js";
import { toast } from "./dom.js";
import { t } from "./i18n.js";

export const copy = (text, done) => navigator.clipboard.writeText(text).then(() => toast(done), () => toast(text));

// The link by which others join. It leads to the address of this page: behind one address for all nodes it leads to any
// of them; where each node has an address of its own it leads to the node that served the page.
export const copyLink = (id) => copy(`${base}/#c=${encodeURIComponent(id)}`, t("copied"));
