// What the page asks for after a click.

import { copy } from "./clipboard.js";
import { t } from "./i18n.js";
import { lazy } from "./lazy.js";

export const copyText = async (c, entry) =>
  copy((entry.pages ? await (await lazy.longEntries.load()).whole(c, entry) : entry.data).text, t("copied"));
