// What the page knows of regulated verse: the four forms, the names of their patterns, what a wish can ask for.

import { characters } from "./dom.js";

// What wishes may hold: characters, and the marks between lines.
const STRANGE = /[^\p{Script=Han}〇，。？！；：、《》·,.?!;:\s]/u;

/** Form by name: lines, and characters of a line; those of the free form are as the wish has them. */
export const FORMS = new Map([
  ["五绝", { lines: 4, length: 5 }],
  ["七绝", { lines: 4, length: 7 }],
  ["五律", { lines: 8, length: 5 }],
  ["七律", { lines: 8, length: 7 }],
  ["free", { lines: null, length: null }],
]);

/** How the tones of a line are written in a report: 平仄 and 中 for a character that is said both ways. */
export const TONES = { 平: "level", 仄: "oblique", 中: "either" };

// The pattern of a whole poem follows from its first line: the tone of its second character, and whether it rhymes.
const STARTS = {
  5: { A: ["level", false], B: ["oblique", true], C: ["level", true], D: ["oblique", false] },
  7: { A: ["oblique", false], B: ["level", true], C: ["oblique", true], D: ["level", false] },
};

/** The keys of a pattern's two names, [start, first line], or null for what is no regulated pattern. */
export function patternOf(form, order) {
  const found = STARTS[FORMS.get(form)?.length]?.[order];
  return found ? [`start.${found[0]}`, found[1] ? "first.rhymes" : "first.open"] : null;
}

/** A line without the punctuation at its end, and that punctuation, which a report's line may or may not carry. */
export function endOf(line, place) {
  const [, body, stop] = /^(.*?)([，。？！；、,.?!;]*)$/u.exec(line);
  return { body, stop: stop || (place % 2 === 0 ? "，" : "。") };
}

/** A poem as text, a couplet on each row, as it is copied. */
export function asText(poem) {
  const lines = poem.lines.map((line, place) => {
    const { body, stop } = endOf(line, place);
    return body + stop + (place % 2 === 1 ? "\n" : "");
  });
  return (poem.title ? `${poem.title}\n` : "") + lines.join("").trimEnd();
}

/** The Han characters of a text. */
export function hanOf(text) {
  return characters(text).filter((one) => /[\p{Script=Han}〇]/u.test(one));
}

/**
 * What keeps a wish from being sent: {field, key, values} to be said there, or null.
 * Only what can be seen from here; all else is for the server to judge.
 */
export function fault(wish) {
  if (wish.mode !== "random" && wish.text === "" && wish.tails === "") {
    return { field: "text", key: "text.missing", values: {} };
  }
  for (const field of ["text", "tails", "title"]) {
    const found = characters(wish[field]).find((one) => STRANGE.test(one));
    if (found !== undefined) return { field, key: "text.notHan", values: { found } };
  }
  const { lines } = FORMS.get(wish.form);
  if (wish.mode !== "acrostic" || lines === null) return null;
  for (const [field, key] of [["text", "text.acrostic.count"], ["tails", "tails.count"]]) {
    const count = hanOf(wish[field]).length;
    if (count > 0 && count !== lines) return { field, key, values: { form: wish.form, lines, count } };
  }
  return null;
}
