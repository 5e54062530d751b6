// The two areas of the page as tabs: arrows move between them, the address remembers which one is open.

import { byId } from "./dom.js";

const AREAS = ["poems", "models"];

/** Make the tabs work, and open the area that the address names; called once. */
export function startAreas() {
  const tabs = AREAS.map((name) => byId(`tab-${name}`));
  tabs.forEach((tab, place) => {
    tab.addEventListener("click", () => {
      history.replaceState(null, "", `#${AREAS[place]}`);
      open(AREAS[place]);
    });
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step === undefined) return;
      const next = tabs[(place + step + tabs.length) % tabs.length];
      next.focus();
      next.click();
    });
  });
  window.addEventListener("hashchange", () => open(named()));
  open(named());
}

function named() {
  const name = location.hash.slice(1);
  return AREAS.includes(name) ? name : AREAS[0];
}

function open(name) {
  for (const area of AREAS) {
    const isOpen = area === name;
    byId(area).hidden = !isOpen;
    byId(`tab-${area}`).setAttribute("aria-selected", String(isOpen));
    byId(`tab-${area}`).tabIndex = isOpen ? 0 : -1;
  }
}
