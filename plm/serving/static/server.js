// Questions to the server: JSON in and out, text that arrives in pieces, and what can go wrong on the way.

/** The server answered, and the answer is no: the message is its own. */
export class Refused extends Error {
  constructor(status, type, message) {
    super(message);
    this.status = status;
    this.type = type;
  }
}

/** No answer came, or it broke off: the server is stopped, or the network between is. */
export class Gone extends Error {}

const TOKEN = "plm.token";
let token = kept();

/** Send this token with every question from now on, until the tab is closed. */
export function carry(value) {
  token = value;
  try {
    sessionStorage.setItem(TOKEN, value);
  } catch {
    // Storage is closed: the token lasts as long as the page.
  }
}

/** True for the error of a question that the user stopped. */
export function wasStopped(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/** The JSON answer to GET (no body) or POST. Throws Refused or Gone. */
export async function ask(path, body, signal) {
  const answer = await reach(path, body, signal);
  try {
    return await answer.json();
  } catch (error) {
    throw wasStopped(error) ? error : new Gone(String(error));
  }
}

/** The server-sent events of an answer, one after the other, each read as JSON. Throws Refused or Gone. */
export async function* stream(path, body, signal) {
  const answer = await reach(path, body, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const events = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const data = dataOf(event);
        if (data === "[DONE]") return;
        if (data !== "") yield checked(JSON.parse(data));
      }
    }
  } catch (error) {
    throw error instanceof TypeError ? new Gone(String(error)) : error;
  } finally {
    reader.cancel().catch(() => {}); // who stops reading early also stops the server's work
  }
}

function dataOf(event) {
  const lines = event.split("\n").filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
}

function checked(event) {
  if (event.error) throw new Refused(200, event.error.type, event.error.message);
  return event;
}

async function reach(path, body, signal) {
  const asked = { signal, headers: { Accept: "application/json, text/event-stream" } };
  if (token !== null) asked.headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) {
    asked.method = "POST";
    asked.body = JSON.stringify(body);
    asked.headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(path, asked);
  } catch (error) {
    throw wasStopped(error) ? error : new Gone(String(error));
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

async function refusal(answer) {
  try {
    const { error } = await answer.json();
    return new Refused(answer.status, error.type, error.message);
  } catch {
    // Not ours: a proxy between says in its own words that nothing is behind it.
    return answer.status >= 502 ? new Gone(answer.statusText) : new Refused(answer.status, "", answer.statusText);
  }
}

function kept() {
  try {
    return sessionStorage.getItem(TOKEN);
  } catch {
    return null;
  }
}
