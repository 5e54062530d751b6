// Which models the server offers, and for what.

import { make } from "./dom.js";

/** The models with an ability ("poem", "classify", ...), in the server's order. models: of GET /v1/models. */
export function offering(models, ability) {
  return models.filter((model) => model.abilities.includes(ability));
}

/** Fill a select with models; its field is seen only where there is a choice. The chosen one stays chosen. */
export function fillModels(select, field, models) {
  const before = select.value;
  select.replaceChildren(...models.map(({ name }) => make("option", { value: name, selected: name === before }, name)));
  field.hidden = models.length < 2;
}
