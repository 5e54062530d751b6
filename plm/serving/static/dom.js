// Elements of the page. Strings become text nodes, never markup: what a user or a model wrote stays text.

/**
 * An element with attributes and children.
 * properties: attributes by name (undefined and false = none, true = empty); "onclick" and its kin are listeners.
 * children: nodes and strings; null = nothing.
 */
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null));
  return node;
}

/** The one element with this id; a page without it is a mistake of ours. */
export function byId(id) {
  const node = document.getElementById(id);
  if (node === null) throw new Error(`index.html has no element with id ${id}`);
  return node;
}

/** The characters of a text as Python counts them: one for each code point, also outside the basic plane. */
export function characters(text) {
  return Array.from(text);
}

/** The values of a form by name; a box that is ticked gives true, one that is not is absent. */
export function valuesOf(form) {
  const values = Object.fromEntries(new FormData(form));
  for (const box of form.querySelectorAll("input[type=checkbox]")) values[box.name] = box.checked;
  return values;
}

/** Put a number that lies out of its field's range to the nearest that does not, where it is seen. */
export function keepInRange(form) {
  form.addEventListener("change", ({ target }) => {
    if (target.type !== "number" || target.value === "") return;
    const value = Math.min(Math.max(Number(target.value), Number(target.min)), Number(target.max));
    target.value = String(target.step === "" || target.step === "1" ? Math.round(value) : value);
  });
}

/** Let Enter send the form from a text area, as it does from a field; Shift+Enter starts a new line. */
export function sendOnEnter(area, { needsControl = false } = {}) {
  area.addEventListener("keydown", (event) => {
    // While an input method composes, Enter chooses a word (keyCode 229 in browsers without isComposing).
    if (event.key !== "Enter" || event.isComposing || event.keyCode === 229) return;
    const control = event.ctrlKey || event.metaKey;
    if (event.shiftKey || (needsControl && !control)) return;
    event.preventDefault();
    area.form.requestSubmit();
  });
}
