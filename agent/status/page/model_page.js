// A model's own page: verdict, retraining, errors, outputs, inputs and what became of it.

import { Card, effective } from "./card.js";
import { fillChange, newChange, openOnes } from "./changes.js";
import { broken, byId, el, Keyed, setAttr, setText } from "./dom.js";
import { fillError, newError } from "./errors.js";
import { Past } from "./past.js";
import { ENDED, fillRequest, fillTrial, newRequest, newTrial } from "./requests.js";
import { rangeBar, signalFacts } from "./signals.js";
import { count, plural, value, VERDICT_WORDS } from "./words.js";

const TRIALS_MOST = 10; // that have ended

export class ModelPage {
  constructor(showTag, acting) {
    this.showTag = showTag;
    this.name = undefined; // nothing is shown yet
    this.card = null;
    this.tags = new Map();
    this.past = new Past();
    this.changes = new Keyed(byId("one-changes"), (change) => newChange(change, acting));
    this.asked = new Keyed(byId("one-requests"), newRequest);
    this.ended = new Keyed(byId("one-ended"), newRequest);
    this.trials = new Keyed(byId("one-trials"), newTrial);
    this.pastTrials = new Keyed(byId("one-past-trials"), newTrial);
    this.errors = new Keyed(byId("one-errors"), newError);
    this.outputs = new Keyed(byId("one-outputs"), (signal) => this.newSignal(signal));
    this.inputs = new Keyed(byId("one-inputs"), (signal) => this.newSignal(signal));
  }

  // `name` of the model that is looked at from now on; null: none is.
  open(name) {
    this.name = name;
    this.card = null;
    byId("one-card").replaceChildren();
    this.past.open(name);
  }

  // What the browser's title says of it; null while no model is looked at.
  update(status, nowNs) {
    if (this.name === null || this.name === undefined) return null;
    const told = status.models.find((model) => model.name === this.name);
    byId("one-gone").hidden = Boolean(told);
    byId("one-parts").hidden = !told;
    if (!told) {
      setText(byId("one-gone"), `There is no model ${this.name} in the configuration of this agent.`);
      byId("one-card").replaceChildren();
      this.card = null;
      return `no model ${this.name}`;
    }
    const model = effective(told, nowNs);
    if (!this.card) {
      this.card = new Card(model, el("h1", { id: "one-title", tabindex: "-1" }, model.name), this.showTag);
      byId("one-card").replaceChildren(this.card.root);
    }
    this.card.fill(model, status, nowNs);
    this.fillChanges(status, nowNs);
    this.fillRequests(status, nowNs);
    this.fillErrors(model, nowNs);
    this.fillSignals(model, status);
    this.past.update(told, nowNs);
    const mark = { trusted: "✓", caution: "!" }[model.verdict] ?? "✕";
    return `${mark} ${(VERDICT_WORDS[model.verdict] ?? model.verdict).toLowerCase()} · ${model.name}`;
  }

  fillChanges(status, nowNs) {
    const touching = openOnes(status.changes, this.name);
    this.changes.show(touching, (one) => one.id, (part, one) => fillChange(part, one, nowNs, this.showTag));
    byId("one-changes-none").hidden = touching.length > 0;
  }

  fillRequests(status, nowNs) {
    const all = (status.retraining ?? []).filter((one) => one.model === this.name);
    const ended = all.filter((one) => ENDED.includes(one.state));
    const asked = all.filter((one) => !ENDED.includes(one.state));
    const key = (one) => one.id;
    this.asked.show(asked, key, (part, one) => fillRequest(part, one, nowNs));
    this.ended.show(ended, key, (part, one) => fillRequest(part, one, nowNs));
    const trials = (status.trials ?? []).filter((one) => one.model === this.name);
    const running = trials.filter((one) => !ENDED.includes(one.state));
    const over = trials.filter((one) => ENDED.includes(one.state)).slice(0, TRIALS_MOST);
    this.trials.show(running, key, (part, one) => fillTrial(part, one, nowNs));
    this.pastTrials.show(over, key, (part, one) => fillTrial(part, one, nowNs));
    byId("one-asked-none").hidden = asked.length + running.length > 0;
    byId("one-ended-box").hidden = ended.length + over.length === 0;
    setText(byId("one-ended-title"), `Earlier requests and trials (${count(ended.length + over.length)})`);
  }

  fillErrors(model, nowNs) {
    const errors = model.errors ?? [];
    this.errors.show(errors, (one) => `${one.output} ${one.loss}`, (part, one) => fillError(part, one, nowNs));
    byId("one-errors-none").hidden = errors.length > 0;
  }

  fillSignals(model, status) {
    const tags = this.tags = new Map(status.tags.map((tag) => [tag.name, tag]));
    const inputs = [...(model.inputs ?? [])].sort((a, b) => rank(a) - rank(b));
    const outputs = model.outputs ?? [];
    const poor = inputs.filter((signal) => signal.state !== "good").length;
    setText(byId("one-inputs-count"), `${plural(inputs.length, "input", "inputs")}, ${poor ? count(poor) : "none"} with an open condition`);
    byId("one-outputs-none").hidden = outputs.length > 0;
    const key = (signal) => signal.tag;
    this.inputs.show(inputs, key, (part, one) => fillSignal(part, one, tags.get(one.tag), one.state === "good" ? "no condition" : `✕ ${one.state}`, "trained"));
    this.outputs.show(outputs, key, (part, one) => fillSignal(part, one, tags.get(one.tag), outputState(one, tags.get(one.tag)), "decisions in training"));
  }

  newSignal(signal) {
    const part = { state: el("b"), value: el("span", { class: "now" }), bar: el("span"), facts: el("p", { class: "quiet" }) };
    const name = this.tags.has(signal.tag) ? el("button", { type: "button", class: "link", "aria-label": `${signal.tag}: show it among the tags` }, ...broken(signal.tag)) : el("span", {}, ...broken(signal.tag));
    if (this.tags.has(signal.tag)) name.addEventListener("click", () => this.showTag(signal.tag));
    part.root = el("li", {},
      el("p", { class: "line" }, el("span", {}, name, signal.required ? "" : " (optional)"), part.state),
      el("p", { class: "line" }, part.value, part.bar), part.facts);
    return part;
  }
}

// Inputs with trouble first, then those that were outside of training, then as configured.
function rank(signal) {
  if (signal.state !== "good") return 0;
  return signal.extrapolation?.share ? 1 : 2;
}

function outputState(signal, tag) {
  if (signal.state !== "good") return `✕ ${signal.state}`;
  if (!tag) return "by the API";
  return signal.trained ? "as trained" : "arrival is watched";
}

function fillSignal(part, signal, tag, state, trainedWords) {
  setAttr(part.root, "class", signal.state === "good" ? "" : "poor");
  setText(part.state, state);
  setText(part.value, `${value(tag?.value)} ${tag?.unit ?? ""}`);
  const place = JSON.stringify([tag?.value, signal.trained]);
  if (part.place !== place) {
    part.place = place;
    part.bar.replaceChildren(...[rangeBar(tag?.value, signal.trained)].filter(Boolean));
  }
  const facts = signal.trained ? signalFacts(signal, tag, trainedWords) : unknownFacts(signal, tag);
  setText(part.facts, facts);
}

function unknownFacts(signal, tag) {
  if (signal.worst) return signalFacts(signal, tag);
  if (!tag) return "its predictions come by the API: its errors are watched, where labels come";
  return "the training record did not have it: only its arrival is watched";
}
