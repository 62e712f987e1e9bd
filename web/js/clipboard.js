// Copies a text, or shows it to be copied by hand.

import { toast } from "./dom.js";

export const copy = (text, done) => navigator.clipboard.writeText(text).then(() => toast(done), () => toast(text));
