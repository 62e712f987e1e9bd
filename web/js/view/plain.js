// A text of Markdown in one line, without its marks, for quotes, lists and hits; and a text as it is searched.

// What stays as it is: code in blocks and in lines, and signs after a backslash.
const KEPT = /^[ \t]*(?:```|~~~)[^\n]*\n([^]*?)(?:^[ \t]*(?:```|~~~)[ \t]*$|(?![^]))|(`+)(?!`)([^]*?[^`])\2(?!`)|\\([!-/:-@[-`{-~])/gm;
const LINK = /!?\[([^\]]*)\]\([^()\s]*\)/g;
const BEGINS = /^[ \t]*(?:[-+*]|>+|#{1,6}|\d{1,3}[.)])[ \t]+/gm; // a line of a list, a quotation or a heading
const RULE = /^(?=.*\|)(?=.*-)[-:|… \t]+$/gm; // below the heading of a table
const ROW = /^[ \t]*\|(.*)\|[ \t]*$/gm;
// Not between letters or digits: 3*4*5, a_name_of_several.
const MARKED = [
  /(?<![\p{L}\p{N}_])__(?=\S)(.+?)(?<=\S)__(?![\p{L}\p{N}_])/gu,
  /\*\*(?=\S)(.+?)(?<=\S)\*\*/g,
  /~~(?=\S)(.+?)(?<=\S)~~/g,
  /(?<![A-Za-z0-9)*])\*(?=[^\s*])([^*]+?)(?<=\S)\*(?!\*)/g,
  /(?<!\*)\*(?=[^\s*])([^*]+?)(?<=\S)\*(?![A-Za-z0-9(*])/g,
  /(?<![\p{L}\p{N}_])_(?=\S)([^_]+?)(?<=\S)_(?![\p{L}\p{N}_])/gu,
];

export function plain(text) {
  const kept = [];
  const keep = (_, block, ticks, code, sign) => `\0${kept.push(block ?? code ?? sign) - 1}\0`;
  let left = text.replaceAll("\0", "").replace(KEPT, keep).replace(RULE, "").replace(LINK, "$1").replace(BEGINS, "");
  left = left.replace(ROW, (_, cells) => cells.split("|").map((cell) => cell.trim()).filter(Boolean).join(" · "));
  for (const mark of MARKED) left = left.replace(mark, "$1");
  return left.replace(/\0(\d+)\0/g, (_, at) => kept[at]).replace(/\s+/g, " ").trim();
}

// Accents, Hebrew points and Arabic vowels, as the server leaves them out. Marks of other scripts make another letter.
const MARKS = /[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u064b-\u065f\u0670]/g;
const LETTERS = /[^]\p{M}*/gu; // with the marks on them
// "ß" is "ss" then, as the server has it; "ı" is not "i".
const small = (letter) => (letter === "ı" ? letter : letter.toUpperCase().toLowerCase());
const bare = (letter) => [...letter.normalize("NFD").replace(MARKS, "").normalize("NFC")].map(small).join("");

// In small letters without accents. It may have another length.
export const folded = (text) => (/[^\0-\x7f]/.test(text) ? text.replace(LETTERS, bare) : text.toLowerCase());

// Where a text has these folded words: [from, to].
export function* placesOf(text, words) {
  if (!words || !folded(text).includes(words)) return;
  const places = []; // of each sign of the folded text
  let small = "";
  for (const { 0: letter, index } of text.matchAll(LETTERS)) {
    const now = folded(letter);
    small += now;
    for (let n = 0; n < now.length; n++) places.push([index, index + letter.length]);
  }
  for (let at = -1; (at = small.indexOf(words, at + 1)) >= 0; ) yield [places[at][0], places[at + words.length - 1][1]];
}
