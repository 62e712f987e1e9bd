// A text of Markdown in one line, without its marks, for quotes, lists and hits; and a text as it is searched.

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

// Accents, Hebrew points and Arabic vowels, as the server leaves them out. Marks of other scripts make another letter.
const MARKS = /[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u064b-\u065f\u0670]/g;

// In small letters without accents, of the same length: a place in it is one in the text.
export const folded = (text) =>
  text.replace(/[A-Z]|[^\0-\x7f]/g, (sign) => {
    const small = sign.normalize("NFD").replace(MARKS, "").normalize("NFC").toLowerCase();
    return small.length === 1 ? small : sign;
  });
