// The overview's cards, the worst first, each with its inputs folded away and a link to its own page.

import { Card, effective } from "./card.js";
import { openOnes } from "./changes.js";
import { byId, el, Keyed, setAttr, setText } from "./dom.js";
import { errorsText } from "./errors.js";
import { waiting } from "./retraining.js";
import { addressOf } from "./route.js";
import { signalRow } from "./signals.js";
import { count, plural, VERDICT_WORDS, VERDICTS } from "./words.js";

export class Models {
  constructor(showTag) {
    this.showTag = showTag;
    this.list = new Keyed(byId("models"), (model) => this.create(model));
    this.tags = new Map();
  }

  update(status, nowNs) {
    this.tags = new Map(status.tags.map((tag) => [tag.name, tag]));
    const models = status.models.map((model) => effective(model, nowNs));
    models.sort((a, b) => VERDICTS.indexOf(a.verdict) - VERDICTS.indexOf(b.verdict) || a.name.localeCompare(b.name));
    this.list.show(models, (model) => model.name, (part, model) => this.fill(part, model, status, nowNs));
    return headline(models);
  }

  create(model) {
    const part = { asks: el("ul", { class: "asks" }), errors: el("p", { class: "quiet" }), rows: el("ul", { class: "input-list" }), title: el("summary") };
    const name = el("h2", {}, el("a", { href: addressOf(model.name) }, model.name));
    part.asked = new Keyed(part.asks, () => {
      const one = { link: el("a") };
      one.root = el("li", {}, one.link);
      return one;
    });
    part.inputs = el("details", { class: "inputs" }, part.title, part.rows);
    part.inputs.addEventListener("toggle", () => this.fillInputs(part));
    part.card = new Card(model, name, this.showTag, [part.asks, part.errors, part.inputs]);
    part.root = part.card.root;
    return part;
  }

  fill(part, model, status, nowNs) {
    part.model = model;
    part.card.fill(model, status, nowNs);
    part.asked.show(asked(model.name, status), ({ key }) => key, (one, { text, address }) => {
      setText(one.link, text);
      setAttr(one.link, "href", address);
    });
    const errors = errorsText(model.errors);
    part.errors.hidden = !errors;
    setText(part.errors, errors);
    this.fillInputs(part);
  }

  fillInputs(part) {
    const inputs = part.model.inputs ?? [];
    const poor = inputs.filter((input) => input.state !== "good").length;
    setText(part.title, `${plural(inputs.length, "input", "inputs")}, ${poor ? count(poor) : "none"} with an open condition`);
    if (!part.inputs.open) return;
    part.rows.replaceChildren(...inputs.map((input) => signalRow(input, this.tags.get(input.tag))));
  }
}

const ASKED_WORDS = {
  open: "asked for; a person must decide",
  declared: "declared the new normal; a candidate is awaited",
  "in trial": "a candidate is tried beside it",
};

// What people are asked for this model: to decide on what its sources serve, to train it anew.
function asked(name, status) {
  const changes = openOnes(status.changes, name);
  const state = (one) => (one.hold === "held" ? "held until somebody decides" : one.state === "announced" ? "announced" : "waits for a decision");
  const told = changes.map((one) => ({ key: one.id, text: `Change ${one.id}: ${state(one)}`, address: "#contract-heading" }));
  const requests = waiting(status).filter((one) => one.model === name);
  return [...told, ...requests.map((one) => ({ key: one.id, text: `Retraining: ${ASKED_WORDS[one.state] ?? one.state}`, address: addressOf(name) }))];
}

const ALONE = {
  caution: "The model is to be used with caution",
  untrusted: "The model can not be trusted",
  unassessable: "The model can not be assessed",
};

function headline(models) {
  const tally = (verdict) => models.filter((model) => model.verdict === verdict).length;
  const poor = models.length - tally("trusted");
  if (!models.length) return { text: "No models are configured", title: "no models" };
  if (!poor) {
    const text = models.length === 1 ? "The model can be trusted" : `All ${models.length} models can be trusted`;
    return { text, title: "✓ trusted" };
  }
  const words = VERDICTS.filter((v) => v !== "trusted" && tally(v)).map((v) => `${tally(v)} ${VERDICT_WORDS[v].toLowerCase()}`);
  const text = models.length === 1 ? ALONE[models[0].verdict] : `${words.join(", ")} of ${count(models.length)} models`;
  return { text, title: `${tally("untrusted") + tally("unassessable") ? "✕" : "!"} ${words.join(", ")}` };
}

