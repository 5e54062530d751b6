// What models can be asked besides poems: for each task its fields, the question and the view of an answer.

import { bars, entities, gaps, passage, similarities, writing } from "./answers.js";

/**
 * Tasks by the name of their endpoint.
 * fields: kind "line", "area" (Enter sends), "page" (Enter is a new line) or "number"; start: what stands there at
 *     first; insert: a text that a button puts where the cursor is; mayBeEmpty: true = it can be left out.
 * body: (values of the fields) -> the question as the server wants it, all but its model.
 * fault: (values) -> a key of words.js, or null for a question that can be asked.
 * view: (answers, or the text so far, values) -> a node. streams: true = the answer comes in pieces.
 */
export const TASKS = new Map([
  [
    "classify",
    {
      fields: [
        { name: "text", kind: "area" },
        { name: "pair", kind: "line", mayBeEmpty: true },
      ],
      body: ({ text, pair }) => ({ inputs: [pair ? { text, pair } : text], truncate: true }),
      view: ([answer]) => bars(answer),
    },
  ],
  [
    "tag",
    {
      fields: [{ name: "text", kind: "area" }],
      body: ({ text }) => ({ inputs: [text] }),
      view: ([answer], { text }) => entities(text, answer),
    },
  ],
  [
    "answer",
    {
      fields: [
        { name: "question", kind: "line" },
        { name: "context", kind: "page" },
      ],
      body: ({ question, context }) => ({ inputs: [{ question, context }] }),
      view: ([answer], { context }) => passage(context, answer),
    },
  ],
  [
    "fill-mask",
    {
      fields: [{ name: "text", kind: "area", insert: "[MASK]" }],
      body: ({ text }) => ({ inputs: [text] }),
      fault: ({ text }) => (text.includes("[MASK]") ? null : "result.noMask"),
      view: ([answer]) => gaps(answer),
    },
  ],
  [
    "embed",
    {
      fields: [{ name: "sentences", kind: "page" }],
      body: ({ sentences }) => ({ inputs: linesOf(sentences), normalize: true, truncate: true }),
      fault: ({ sentences }) => (linesOf(sentences).length < 2 ? "result.fewSentences" : null),
      view: (answers, { sentences }) => similarities(linesOf(sentences), answers),
    },
  ],
  [
    "generate",
    {
      fields: [
        { name: "prompt", kind: "area" },
        { name: "max_new_tokens", kind: "number", start: "64", min: 1, max: 1000, step: 1 },
        { name: "temperature", kind: "number", start: "0.8", min: 0.1, max: 2, step: 0.1 },
        { name: "seed", kind: "number", start: "0", min: 0, max: 2147483647, step: 1 },
      ],
      body: (values) => ({
        inputs: [values.prompt],
        stream: true,
        max_new_tokens: Number(values.max_new_tokens),
        temperature: Number(values.temperature),
        seed: Number(values.seed),
      }),
      streams: true,
      view: (text, { prompt }) => writing(prompt, text),
    },
  ],
]);

/** The key of what keeps a question from being asked, or null. */
export function faultOf(task, values) {
  const missing = task.fields.some(({ name, mayBeEmpty }) => !mayBeEmpty && values[name].trim() === "");
  return missing ? "text.missing" : (task.fault?.(values) ?? null);
}

function linesOf(text) {
  return text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
}
