// What the page asks for after a click, with the person's confirmation where something would be lost.

import { copy } from "./clipboard.js";
import { complain } from "./dom.js";
import { t } from "./i18n.js";
import { lazy } from "./lazy.js";

export const copyText = async (connection, c, seq, entry) =>
  copy((entry.pages ? await (await lazy.longEntries.load()).whole(connection, c, entry) : entry.data).text, t("copied"));

export const regenerate = (connection, c, seq) => c.regenerate(seq);

// Delete a message once the person has said so again.
export const remove = (connection, c, seq) => confirm(t("deleteSure")) && c.delete(seq).catch(complain);
