// Troubles told in the words of the page, with a way out where there is one.

import { byId } from "./dom.js";
import { onLanguage, say } from "./language.js";
import { carry, Gone, Refused } from "./server.js";

const BUSY = new Set([429, 503]);
const UNAUTHORIZED = 401;
let shown = null;

/** Tell an error at the top of the page. retry: what the button there does again. */
export function tell(error, retry) {
  shown = { error, retry };
  render();
}

/** Nothing is wrong any more. */
export function calm() {
  shown = null;
  render();
}

function render() {
  const box = byId("trouble");
  box.hidden = shown === null;
  if (shown === null) return;
  byId("trouble-text").textContent = textOf(shown.error);
  const asksToken = shown.error.status === UNAUTHORIZED;
  byId("token-form").hidden = !asksToken;
  byId("retry").hidden = asksToken || !mayHelp(shown.error);
}

/** True where the same question may be answered the next time: not for a wish that cannot be met. */
function mayHelp(error) {
  return !(error instanceof Refused) || error.status >= 500 || BUSY.has(error.status);
}

function textOf(error) {
  if (error instanceof Gone) return say("trouble.gone");
  if (!(error instanceof Refused)) return say("trouble.unexpected") + error.message;
  if (error.status === UNAUTHORIZED) return say("trouble.token");
  if (error.type === "not_ready") return say("trouble.loading");
  if (BUSY.has(error.status)) return say("trouble.busy");
  return say(error.status >= 500 ? "trouble.failed" : "trouble.wish") + error.message;
}

/** Start telling; called once. */
export function startTrouble() {
  byId("retry").addEventListener("click", again);
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    carry(byId("token").value);
    again();
  });
  onLanguage(render);
}

function again() {
  const { retry } = shown;
  calm();
  retry();
}
