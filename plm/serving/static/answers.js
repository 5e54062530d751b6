// Answers as they are seen: bars of probability, marked texts, a table of similarities, text that grows.

import { characters, make } from "./dom.js";
import { say } from "./language.js";

const COLOURS = 6; // kinds of entities that style.css tells apart

/** Classes with bars. answer: {"label", "score"}, or {"labels": {label: score}} where several may apply. */
export function bars(answer) {
  const scores = answer.labels ?? { [answer.label]: answer.score };
  const sorted = Object.entries(scores).sort(([, one], [, other]) => other - one);
  return barList(sorted, say("result.labels"));
}

/** What may stand at each gap. answer: for each gap [{"token", "score"}, ...], best first. */
export function gaps(answer) {
  const parts = answer.map((choices, place) => {
    const pairs = choices.map(({ token, score }) => [token, score]);
    const head = answer.length > 1 ? make("h3", {}, say("result.mask", { number: place + 1 })) : null;
    return make("section", {}, head, barList(pairs, say("result.labels")));
  });
  return make("div", {}, ...parts);
}

/** A text with the entities in it marked. answer: [{"type", "text", "start", "end", "score"}, ...] by place. */
export function entities(text, answer) {
  if (answer.length === 0) return make("p", { class: "empty" }, say("result.noEntities"));
  const kinds = [...new Set(answer.map(({ type }) => type))].sort();
  const marks = answer.map((entity) => ({ ...entity, colour: kinds.indexOf(entity.type) % COLOURS }));
  return marked(text, marks);
}

/** A passage with the answer in it marked. answer: {"answer", "start", "end", "score"}; "" = there is none. */
export function passage(text, answer) {
  if (answer.start === null) return make("p", { class: "empty" }, say("result.noAnswer"));
  const score = say("result.score", { score: percent(answer.score) });
  const said = make("p", { class: "said" }, make("strong", {}, answer.answer), make("span", { class: "help" }, score));
  return make("div", {}, said, marked(text, [{ ...answer, colour: 0 }]));
}

/** A table of how close each two sentences are. vectors: one for each, of length 1. */
export function similarities(sentences, vectors) {
  const number = (place) => make("th", { scope: "col" }, String(place + 1));
  const head = make("tr", {}, make("td"), ...sentences.map((_, place) => number(place)));
  const rows = sentences.map((sentence, row) => {
    const cells = vectors.map((vector) => shaded(cosine(vectors[row], vector)));
    return make("tr", {}, make("th", { scope: "row" }, `${row + 1}. ${sentence}`), ...cells);
  });
  const caption = make("caption", {}, say("result.similarity"));
  const table = make("table", { class: "close" }, caption, make("thead", {}, head), make("tbody", {}, ...rows));
  return make("div", { class: "sideways", tabindex: "0" }, table);
}

/** A beginning, and how the model goes on with it. */
export function writing(prompt, text) {
  const [given, added] = [make("span", { class: "given" }, prompt), make("span", { class: "new" }, text)];
  return make("p", { class: "writing" }, given, added);
}

function barList(pairs, label) {
  const rows = pairs.map(([name, score]) => {
    const fill = make("span", { class: "fill" });
    fill.style.setProperty("--share", String(Math.min(Math.max(score, 0), 1)));
    const track = make("span", { class: "track", "aria-hidden": "true" }, fill);
    const value = make("span", { class: "value" }, percent(score));
    return make("li", {}, make("span", { class: "label" }, name), track, value);
  });
  return make("ul", { class: "bars", "aria-label": label }, ...rows);
}

/** A text with marks at places that are counted in characters as Python does; marks do not overlap. */
function marked(text, marks) {
  const signs = characters(text);
  const parts = [];
  let end = 0;
  for (const mark of [...marks].sort((one, other) => one.start - other.start)) {
    const tag = mark.type === undefined ? null : make("small", {}, mark.type);
    const words = signs.slice(mark.start, mark.end).join("");
    parts.push(signs.slice(end, mark.start).join(""));
    parts.push(make("mark", { class: `colour-${mark.colour}`, title: percent(mark.score) }, words, tag));
    end = mark.end;
  }
  return make("p", { class: "marked" }, ...parts, signs.slice(end).join(""));
}

function shaded(value) {
  const cell = make("td", {}, value.toFixed(2));
  cell.style.setProperty("--share", String(Math.max(value, 0)));
  return cell;
}

function cosine(one, other) {
  const dot = (a, b) => a.reduce((sum, value, place) => sum + value * b[place], 0);
  return dot(one, other) / Math.sqrt(dot(one, one) * dot(other, other) || 1);
}

/** A probability in hundredths; what is none, as from a model that tells a number, as it is. */
function percent(score) {
  return score >= 0 && score <= 1 ? `${(100 * score).toFixed(1)} %` : score.toFixed(2);
}
