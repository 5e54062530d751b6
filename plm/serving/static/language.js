// The language of the page: chosen by the reader, remembered, at first the browser's own.

import { WORDS } from "./words.js";

const KEY = "plm.language";
const ATTRIBUTES = ["placeholder", "aria-label", "title"]; // <input data-say-placeholder="key">
const CHANGED = "plm:language";

let current = remembered() ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

/** The code of the language that is spoken now, a key of WORDS. */
export function language() {
  return current;
}

/** The text of a key in the language of the page, {name} replaced by values.name. */
export function say(key, values = {}) {
  const text = WORDS[current][key];
  if (text === undefined) throw new Error(`words.js has no "${key}" in ${current}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** Change the language of the whole page, and remember it. */
export function speak(code) {
  current = code;
  try {
    localStorage.setItem(KEY, code);
  } catch {
    // Storage is closed in some private windows: then the choice lasts as long as the page.
  }
  settle();
  document.dispatchEvent(new Event(CHANGED));
}

/** Call `listener` after every change of language. */
export function onLanguage(listener) {
  document.addEventListener(CHANGED, listener);
}

/** Say everything in the page that is marked with data-say, and tell the browser which language it reads. */
export function settle() {
  document.documentElement.lang = current === "zh" ? "zh-CN" : "en";
  document.title = say("page.title");
  translate(document);
}

/** Say everything marked below a node: data-say = its text, data-say-placeholder and kin = its attributes. */
export function translate(root) {
  for (const node of root.querySelectorAll("[data-say]")) node.textContent = say(node.dataset.say);
  for (const attribute of ATTRIBUTES) {
    for (const node of root.querySelectorAll(`[data-say-${attribute}]`)) {
      node.setAttribute(attribute, say(node.getAttribute(`data-say-${attribute}`)));
    }
  }
}

function remembered() {
  try {
    const code = localStorage.getItem(KEY);
    return code in WORDS ? code : null;
  } catch {
    return null;
  }
}
