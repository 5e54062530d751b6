// One piece of work at a time: its button, the one that stops it, what is said meanwhile, and what went wrong.

import { byId } from "./dom.js";
import { say } from "./language.js";
import { wasStopped } from "./server.js";
import { calm, tell } from "./trouble.js";

/** The work of an area. start, stop, status, results: ids of two buttons, a line of text and the place of results. */
export class Work {
  constructor({ start, stop, status, results }) {
    Object.assign(this, { start, stop, status, results });
    this.stopping = null;
    byId(stop).addEventListener("click", () => this.stopping?.abort());
  }

  /**
   * Do the work, unless other work is under way.
   * job: (signal) -> what to say at the end. during: key of what is said meanwhile, told the {seconds} so far.
   */
  async run(job, during) {
    if (this.stopping !== null) return;
    this.stopping = new AbortController();
    calm();
    this.show(true);
    const began = performance.now();
    const told = () => this.say(say(during, { seconds: Math.floor((performance.now() - began) / 1000) }));
    const clock = setInterval(told, 1000);
    told();
    try {
      this.say(await job(this.stopping.signal));
    } catch (error) {
      this.say(wasStopped(error) ? say("stopped") : "");
      if (!wasStopped(error)) tell(error, () => this.run(job, during));
    } finally {
      clearInterval(clock);
      this.stopping = null;
      this.show(false);
    }
  }

  say(text) {
    const status = byId(this.status);
    if (status.textContent !== text) status.textContent = text;
  }

  show(isBusy) {
    const stop = byId(this.stop);
    const hadFocus = document.activeElement === stop;
    byId(this.start).disabled = isBusy;
    stop.hidden = !isBusy;
    if (hadFocus && !isBusy) byId(this.start).focus(); // a button that goes takes the focus along
    byId(this.results).setAttribute("aria-busy", String(isBusy));
  }
}
