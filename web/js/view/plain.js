// A text of Markdown in one line, without its marks: for quotes, lists and hits.

const LINK = /!?\[([^\]]*)\]\([^()\s]*\)/g;
const BEGINS = /^[ \t]*(?:[-+*]|>+|#{1,6}|\d{1,3}[.)])[ \t]+/gm; // a line of a list, a quotation or a heading
const FENCE = /^[ \t]*(?:```|~~~).*$/gm;
const STRONG = /\*\*|__|~~|`+/g;
const STARRED = /\*(?=\S)([^*]+?)(?<=\S)\*/g;
const LINED = /(?<![\p{L}\p{N}_])_(?=\S)([^_]+?)(?<=\S)_(?![\p{L}\p{N}_])/gu; // not within a_name_of_several

export const plain = (text) =>
  [[FENCE, ""], [LINK, "$1"], [BEGINS, ""], [STRONG, ""], [STARRED, "$1"], [LINED, "$1"], [/\s+/g, " "]]
    .reduce((left, [mark, kept]) => left.replace(mark, kept), text)
    .trim();
