// The area in which the other models are tried: a form made from the table of tasks, and the answer beside it.

import { byId, keepInRange, make, sendOnEnter, valuesOf } from "./dom.js";
import { onLanguage, say, translate } from "./language.js";
import { fillModels, offering } from "./models.js";
import { ask, stream } from "./server.js";
import { TASKS, faultOf } from "./tasks.js";
import { Work } from "./work.js";

let models = [];
let chosen = null; // name of the task
let shown = null; // {task, answer, values} that stand on the desk
let told = null; // key of the fault that is told
const kept = new Map(); // task -> values of its fields, for when it is chosen again

const work = new Work({ start: "run", stop: "task-stop", status: "task-status", results: "task-result" });

/** Make the area work; called once. */
export function startTasks() {
  const form = byId("task-form");
  keepInRange(form);
  byId("tasks").addEventListener("change", (event) => choose(event.target.value));
  form.addEventListener("input", () => tellFault(null));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run(valuesOf(form));
  });
  onLanguage(() => {
    sayAll();
    render();
  });
  render();
}

/** Take over what the server offers. */
export function offerTasks(offered) {
  models = offered;
  const possible = [...TASKS.keys()].filter((name) => offering(models, name).length > 0);
  const entries = possible.map((name) => {
    const radio = make("input", { type: "radio", name: "task", value: name });
    return make("label", {}, radio, make("span", { "data-say": `task.${name}` }));
  });
  byId("tasks").replaceChildren(byId("tasks").querySelector("legend"), ...entries);
  byId("run").disabled = possible.length === 0;
  translate(byId("tasks"));
  byId("task-none").hidden = possible.length > 0;
  if (possible.length > 0) choose(possible.includes(chosen) ? chosen : possible[0]);
}

function choose(name) {
  if (chosen !== null) kept.set(chosen, valuesOf(byId("task-form")));
  chosen = name;
  byId("tasks").querySelector(`input[value="${name}"]`).checked = true;
  fillModels(byId("task-model"), byId("task-model-field"), offering(models, name));
  const task = TASKS.get(name);
  byId("task-fields").replaceChildren(...task.fields.map((field) => fieldOf(field, kept.get(name)?.[field.name])));
  tellFault(null);
  sayAll();
}

function fieldOf({ name, kind, start = "", insert, min, max, step }, before) {
  const id = `task-${name}`;
  const tag = kind === "area" || kind === "page" ? "textarea" : "input";
  const type = kind === "number" ? "number" : undefined;
  const rows = { area: "3", page: "7" }[kind];
  const entry = make(tag, { id, name, type, rows, min, max, step, autocomplete: "off" });
  entry.value = before ?? start;
  if (tag === "textarea") sendOnEnter(entry, { needsControl: kind === "page" });
  const parts = [make("label", { for: id, "data-say": `field.${name}` }), entry];
  if (insert !== undefined) parts.push(inserter(entry, insert));
  return make("div", { class: "field", "data-kind": kind }, ...parts);
}

function inserter(entry, text) {
  const put = () => {
    entry.setRangeText(text, entry.selectionStart, entry.selectionEnd, "end");
    entry.focus();
  };
  return make("button", { type: "button", class: "plain", onclick: put, "data-say": "field.mask" });
}

function run({ task: name, model, ...values }) {
  const task = TASKS.get(name);
  const fault = faultOf(task, values);
  tellFault(fault);
  if (fault !== null) {
    byId("task-fields").querySelector("textarea, input").focus();
    return;
  }
  const body = { ...task.body(values), ...(model && { model }) };
  const answer = task.streams ? grow : once;
  work.run(async (signal) => {
    await answer(`v1/${name}`, body, signal, (received) => {
      shown = { task, answer: received, values };
      render();
    });
    return say("done");
  }, "running");
}

async function once(path, body, signal, show) {
  const { answers } = await ask(path, body, signal);
  show(answers);
}

async function grow(path, body, signal, show) {
  let text = "";
  show(text);
  for await (const { text: piece } of stream(path, body, signal)) {
    text += piece ?? "";
    show(text);
  }
}

function tellFault(key) {
  told = key;
  byId("task-error").textContent = key === null ? "" : say(key);
}

function sayAll() {
  translate(byId("task-form"));
  if (told !== null) tellFault(told);
  if (chosen === null) return;
  byId("task-help").textContent = say(`task.${chosen}.help`);
  const isPage = TASKS.get(chosen).fields.some(({ kind }) => kind === "page");
  byId("task-keys").textContent = say(isPage ? "keys.control" : "keys.enter");
}

function render() {
  const empty = make("p", { class: "empty" }, say("result.empty"));
  byId("task-result").replaceChildren(shown === null ? empty : shown.task.view(shown.answer, shown.values));
}
