// The area in which poems are asked for and shown.

import { byId, keepInRange, make, valuesOf } from "./dom.js";
import { onLanguage, say, translate } from "./language.js";
import { fillModels, offering } from "./models.js";
import { legend, poemCard } from "./poem_view.js";
import { Work } from "./work.js";
import { ask } from "./server.js";
import { FORMS, fault, hanOf } from "./verse.js";

const LARGEST_SEED = 2 ** 31 - 1;
let shown = null; // {poems, seed} that stand on the desk
let told = null; // the fault that is told at a field

/** Make the area work; called once. */
export function startPoems() {
  const form = byId("poem-form");
  offerForms();
  keepInRange(form);
  form.addEventListener("input", () => settle());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    write(form);
  });
  byId("poem-tools").addEventListener("input", arrange);
  onLanguage(() => {
    settle();
    render();
  });
  settle();
  arrange();
  render();
}

/** Take over what the server offers. models: as GET /v1/models lists them. */
export function offerPoets(models) {
  const poets = offering(models, "poem");
  fillModels(byId("poem-model"), byId("poem-model-field"), poets);
  byId("write").disabled = poets.length === 0;
  byId("poem-none").hidden = poets.length > 0;
}

const work = new Work({ start: "write", stop: "poem-stop", status: "poem-status", results: "poem-results" });

function write(form) {
  const wish = wishOf(form);
  told = fault(wish);
  tellFault();
  if (told !== null) {
    byId(told.field).focus();
    return;
  }
  work.run(async (signal) => {
    const { poems } = await ask("v1/poem", wish, signal);
    shown = { poems, seed: wish.seed };
    render();
    byId("poem-results").scrollIntoView({ block: "nearest" }); // on a phone it lies below the form
    const first = poems[0]?.lines[0];
    return poems.length ? say("written", { count: poems.length, first }) : say("written.none");
  }, "writing");
}

function wishOf(form) {
  const values = valuesOf(form);
  const drawn = Math.floor(Math.random() * LARGEST_SEED);
  const number = (name) => Number(values[name] || byId(name).defaultValue);
  const usesText = values.mode !== "random";
  return {
    ...(values.model && { model: values.model }),
    mode: values.mode,
    form: values.form,
    text: usesText ? values.text.trim() : "",
    tails: values.mode === "acrostic" ? values.tails.trim() : "",
    title: values.title.trim(),
    n: number("n"),
    candidates: number("candidates"),
    seed: values.seed === "" ? drawn : Number(values.seed),
    temperature: number("temperature"),
    book: values.book,
    strict: values.strict,
    script: values.script,
  };
}

function offerForms() {
  const entries = [...FORMS.keys()].map((name) => {
    const radio = make("input", { type: "radio", name: "form", value: name, checked: name === "七绝" });
    const label = name === "free" ? make("span", { "data-say": "form.free" }) : make("span", { lang: "zh" }, name);
    return make("label", {}, radio, label);
  });
  byId("forms").append(...entries);
  translate(byId("forms"));
}

/** Show what the chosen mode needs, and forget faults that have been seen to. */
function settle() {
  const { mode, form, text } = valuesOf(byId("poem-form"));
  const usesText = mode !== "random";
  byId("text-field").hidden = !usesText;
  byId("tails-field").hidden = mode !== "acrostic";
  if (usesText) {
    const { lines } = FORMS.get(form);
    const help = mode === "acrostic" && lines === null ? "free" : "help";
    byId("text-label").textContent = say(`text.${mode}`);
    byId("text").placeholder = say(`text.${mode}.example`);
    byId("text-help").textContent = say(`text.${mode}.${help}`, { form, lines, count: hanOf(text).length });
  }
  if (told !== null) told = fault(wishOf(byId("poem-form")));
  tellFault();
}

function tellFault() {
  for (const field of ["text", "tails", "title"]) {
    const isWrong = told?.field === field;
    byId(`${field}-error`).textContent = isWrong ? say(told.key, told.values) : "";
    byId(field).setAttribute("aria-invalid", String(isWrong));
  }
}

function arrange() {
  const { layout, marks } = valuesOf(byId("poem-tools"));
  byId("poem-results").dataset.layout = layout;
  byId("poem-results").dataset.marks = marks ? "on" : "off";
}

function render() {
  const empty = make("p", { class: "empty" }, say("poems.empty"));
  const cards = shown?.poems.map((poem) => poemCard(poem, shown.seed)) ?? [];
  byId("poem-results").replaceChildren(...(cards.length ? [...cards, legend()] : [empty]));
}
