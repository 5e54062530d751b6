// A poem as it is seen: its characters with their marks, and below them what was checked.

import { characters, make } from "./dom.js";
import { say } from "./language.js";
import { TONES, asText, endOf, patternOf } from "./verse.js";

/** The card of one poem. poem: as the server tells it; seed: the one it was written with. */
export function poemCard(poem, seed) {
  return make(
    "article",
    { class: "poem" },
    make("div", { class: "paper" }, verse(poem), make("span", { class: "seal", "aria-hidden": "true" }, "诗")),
    report(poem, seed),
    make("p", { class: "actions" }, copyButton(poem)),
  );
}

/** What the marks mean. */
export function legend() {
  const entry = (kind, sample) => make("span", {}, sample, ` ${say(`legend.${kind}`)}`);
  const dot = (kind) => make("i", { class: `tone ${kind}`, "aria-hidden": "true" });
  const sign = (kind) => make("span", { class: `cell ${kind}`, "aria-hidden": "true" }, make("b", {}, "字"));
  const dots = ["level", "oblique", "either", "unknown"].map((kind) => entry(kind, dot(kind)));
  return make("p", { class: "legend" }, ...dots, entry("rhyme", sign("rhyme")), entry("error", sign("error")));
}

function verse(poem) {
  const wrong = new Set(poem.report.tone_errors.map(({ line, position }) => `${line}.${position}`));
  const rhymes = new Set(poem.report.rhyme_lines);
  const lines = poem.lines.map((line, row) => {
    const { body, stop } = endOf(line, row);
    const signs = characters(body);
    const tones = characters(poem.report.tones[row] ?? "");
    const cells = signs.map((sign, column) => {
      const isRhyme = column === signs.length - 1 && rhymes.has(row + 1);
      return cell(sign, tones[column], { isRhyme, isWrong: wrong.has(`${row + 1}.${column + 1}`) });
    });
    return make("p", { class: "line" }, ...cells, make("span", { class: "stop" }, stop));
  });
  const title = poem.title ? make("h3", {}, poem.title) : null;
  return make("div", { class: "verse", lang: "zh" }, title, ...lines);
}

function cell(sign, tone, { isRhyme, isWrong }) {
  const kinds = ["cell", isRhyme && "rhyme", isWrong && "error"].filter(Boolean).join(" ");
  const mark = make("i", { class: `tone ${TONES[tone] ?? "unknown"}`, "aria-hidden": "true" });
  return make("span", { class: kinds }, make("b", {}, sign), mark);
}

function report(poem, seed) {
  const rows = [formRow, orderRow, rhymeRow, tonesRow, faultsRow, licencesRow, repeatedRow, unknownRow, copiedRow, scoreRow];
  const told = [...rows.map((row) => row(poem)), ["report.seed", [String(seed)]]].filter((row) => row !== null);
  const entries = told.map(([key, parts]) => make("div", {}, make("dt", {}, say(key)), make("dd", {}, ...parts)));
  return make("dl", { class: "report" }, ...entries);
}

function verdict(isKept, text) {
  const [kind, key, sign] = isKept ? ["kept", "report.yes", "✓"] : ["broken", "report.no", "✗"];
  return [make("span", { class: kind, role: "img", "aria-label": say(key) }, sign), ` ${text}`];
}

function formRow({ form, report: { form_ok: isKept } }) {
  return ["report.form", verdict(isKept, isKept ? form : say("report.formBad"))];
}

function orderRow({ form, report: { order } }) {
  const names = patternOf(form, order);
  return names === null ? null : ["report.order", [names.map((key) => say(key)).join(say("listSeparator"))]];
}

function rhymeRow({ report }) {
  const { rhyme_class: name, rhyme_words: words, rhyme_errors: errors, repeated_rhyme_words: twice } = report;
  const told = (name ?? say("report.noRhyme")) + (words.length ? `（${words.join(" ")}）` : "");
  const faults = errors.map((error) => say("report.rhymeError", error));
  if (twice.length) faults.push(say("report.rhymeTwice", { words: twice.join(" ") }));
  return ["report.rhyme", [...verdict(report.rhyme_ok, told), ...bullets(faults)]];
}

function tonesRow({ form, report: { order, tone_errors: errors } }) {
  if (patternOf(form, order) === null && errors.length === 0) return null; // without a pattern there is nothing to break
  if (errors.length === 0) return ["report.tones", verdict(true, say("report.allGood"))];
  const faults = errors.map((error) =>
    say("report.error", { ...error, expected: say(`tone.${error.expected}`), found: say(`tone.${error.found}`) }),
  );
  return ["report.tones", [...verdict(false, say("report.errorCount", { count: errors.length })), ...bullets(faults)]];
}

function faultsRow({ report: { faults } }) {
  return listRow("report.faults", faults.map((note) => say("report.note", note)));
}

function licencesRow({ report: { licences } }) {
  return listRow("report.rescues", licences.map((note) => say("report.note", note)));
}

function repeatedRow({ report: { repeated } }) {
  return listRow("report.repeated", Object.entries(repeated).map(([sign, count]) => `${sign}×${count}`));
}

function unknownRow({ report: { unknown } }) {
  return listRow("report.unknown", unknown);
}

function copiedRow({ copied }) {
  return listRow("report.copied", copied);
}

function listRow(key, entries) {
  return entries.length ? [key, [entries.join(say("listSeparator"))]] : null;
}

function bullets(texts) {
  return texts.length ? [make("ul", {}, ...texts.map((text) => make("li", {}, text)))] : [];
}

function scoreRow({ score }) {
  if (typeof score !== "number") return null;
  return ["report.score", [make("span", { title: say("report.scoreHelp") }, score.toFixed(2))]];
}

function copyButton(poem) {
  const button = make("button", { type: "button", class: "plain copy" }, say("copy"));
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(asText(poem));
      button.textContent = say("copied");
    } catch {
      button.textContent = say("copy.failed"); // pages that are not local need HTTPS for it
    }
  });
  return button;
}
