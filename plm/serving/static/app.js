// The page: its language, its two areas, and the models that the server offers to them.

import { startAreas } from "./areas.js";
import { byId } from "./dom.js";
import { language, settle, speak } from "./language.js";
import { offerPoets, startPoems } from "./poems.js";
import { ask } from "./server.js";
import { calm, startTrouble, tell } from "./trouble.js";
import { offerTasks, startTasks } from "./try_models.js";

const WAIT = 2000; // milliseconds between questions to a server that is still loading

async function learnModels() {
  try {
    const { models } = await ask("v1/models");
    calm();
    offerPoets(models);
    offerTasks(models);
  } catch (error) {
    tell(error, learnModels);
    if (error.type === "not_ready") setTimeout(learnModels, WAIT);
  }
}

settle();
startTrouble();
startAreas();
startPoems();
startTasks();
byId("language").addEventListener("click", () => speak(language() === "zh" ? "en" : "zh"));
learnModels();
