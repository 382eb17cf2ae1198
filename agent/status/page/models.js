// The verdict of each model: large, in colour, shape and word, with what to do and who must act.

import { byId, el, Keyed, setAttr, setSymbol, setText, svg, symbol } from "./dom.js";
import { age, CAUSE_WORDS, count, iso, moment, percent, plural, value, VERDICT_WORDS, VERDICTS } from "./words.js";

// The same rule as agent/status/view.py, for when the agent can no longer apply it: past
// valid_until_ns a verdict is not assessable, whatever was last heard.
export function effective(model, nowNs) {
  const until = model.valid_until_ns;
  if (model.verdict === "unassessable" || (until !== null && nowNs <= until)) return model;
  const text = until === null ? "the verdict does not say how long it is valid" : "the verdict ran out and was not renewed";
  return {
    ...model,
    verdict: "unassessable",
    since_ns: until ?? model.since_ns,
    reasons: [{ text, cause: "unknown", tag: "", hint: "see that the agent runs: systemctl status fieldwarden" }],
    last_known: { verdict: model.verdict, since_ns: model.since_ns, reasons: model.reasons },
  };
}

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
    this.list.show(models, (model) => model.name, (part, model) => this.fill(part, model, nowNs));
    return headline(models);
  }

  create(model) {
    const part = {
      symbol: symbol(model.verdict),
      word: el("span", { class: "word" }),
      name: el("h2"),
      since: el("p", { class: "since" }),
      provisional: el("p", { class: "provisional", hidden: true }),
      reasons: el("ul", { class: "reasons" }),
      owner: el("p", { class: "owner" }),
      outside: el("p", { class: "quiet", hidden: true }),
      facts: el("p", { class: "quiet" }),
      rows: el("ul", { class: "input-list" }),
      inputsTitle: el("summary"),
    };
    part.inputs = el("details", { class: "inputs" }, part.inputsTitle, part.rows);
    part.inputs.addEventListener("toggle", () => this.fillInputs(part, part.model));
    part.root = el("article", { class: "model" },
      el("header", { class: "verdict" }, part.symbol, el("div", {}, part.name, el("p", { class: "big" }, part.word))),
      el("div", { class: "body" }, part.since, part.provisional, part.reasons, part.owner, part.outside, part.inputs, part.facts));
    return part;
  }

  fill(part, model, nowNs) {
    part.model = model;
    setAttr(part.root, "data-verdict", model.verdict);
    setSymbol(part.symbol, model.verdict);
    setText(part.word, VERDICT_WORDS[model.verdict] ?? model.verdict);
    setText(part.name, model.name);
    setText(part.since, `Since ${moment(model.since_ns, nowNs)} (${age((nowNs - model.since_ns) / 1e9)})`);
    setAttr(part.since, "title", iso(model.since_ns));
    part.provisional.hidden = !model.provisional;
    setText(part.provisional, model.provisional_text || "Thresholds are provisional: the baseline is too short to keep the false-alarm promise.");
    setText(part.facts, `version ${model.version}, ${plural(model.scans ?? 0, "scan", "scans")}, baseline ${model.baseline || "none"}`);
    const outside = outsideText(model);
    part.outside.hidden = !outside;
    setText(part.outside, outside);
    this.fillReasons(part, model);
    this.fillInputs(part, model);
  }

  fillReasons(part, model) {
    const written = JSON.stringify([model.reasons, model.owner, model.last_known?.verdict]);
    if (written === part.reasonsWritten) return;
    part.reasonsWritten = written;
    part.reasons.replaceChildren(...model.reasons.map((reason) => this.reason(reason)));
    if (model.last_known) {
      const known = model.last_known;
      const why = known.reasons.map((reason) => reason.text).join("; ");
      part.reasons.append(el("li", { class: "before" },
        el("p", {}, `Before that: ${VERDICT_WORDS[known.verdict] ?? known.verdict}${why ? ` (${why})` : ""}`)));
    }
    part.owner.replaceChildren("Owner: ", el("b", {}, model.owner.team), " · ", contact(model.owner.contact));
  }

  reason(reason) {
    const chips = el("p", { class: "chips" }, el("span", { class: "chip" }, CAUSE_WORDS[reason.cause] ?? reason.cause));
    if (reason.tag) {
      const button = el("button", { type: "button", class: "link" }, reason.tag);
      button.addEventListener("click", () => this.showTag(reason.tag));
      chips.append(button);
    }
    return el("li", {},
      el("p", { class: "why" }, reason.text),
      reason.hint ? el("p", { class: "do" }, el("b", {}, "Do: "), reason.hint) : null,
      chips);
  }

  fillInputs(part, model) {
    const inputs = model.inputs ?? [];
    const poor = inputs.filter((input) => input.state !== "good").length;
    setText(part.inputsTitle, `${plural(inputs.length, "input", "inputs")}, ${poor ? count(poor) : "none"} with an open condition`);
    if (!part.inputs.open) return;
    part.rows.replaceChildren(...inputs.map((input) => this.inputRow(input)));
  }

  inputRow(input) {
    const tag = this.tags.get(input.tag);
    const worst = input.worst;
    const checked = worst && Number.isFinite(worst.score) ? `${worst.detector} at ${Math.round(worst.score * 100)} % of its limit` : "";
    const trained = input.trained ? `trained ${value(input.trained[0])} to ${value(input.trained[1])}` : "no trained range";
    const share = input.extrapolation?.share;
    const outside = share ? `outside for ${percent(share)} of the last day` : "";
    const good = input.state === "good";
    return el("li", { class: good ? "" : "poor" },
      el("p", { class: "line" }, el("span", {}, input.tag, input.required ? "" : " (optional)"), el("b", {}, good ? "no condition" : `✕ ${input.state}`)),
      el("p", { class: "line" }, el("span", {}, `${value(tag?.value)} ${tag?.unit ?? ""}`), rangeBar(tag?.value, input.trained)),
      el("p", { class: "quiet" }, [trained, outside, checked].filter(Boolean).join(" · ")));
  }
}

// How much of its time the model worked outside of what it was trained on; the same words as
// `extrapolated` in agent/status/view.py.
function outsideText({ inputs, extrapolation }) {
  const found = (inputs ?? []).filter((input) => input.extrapolation?.share).map((input) => [input.extrapolation.share, input.tag]);
  found.sort((a, b) => b[0] - a[0] || a[1].localeCompare(b[1]));
  const told = found.slice(0, 3).map(([share, tag]) => `${tag} ${percent(share)}`);
  if (found.length > 3) told.push(`${count(found.length - 3)} more inputs less than that`);
  if (extrapolation?.share_jointly) told.push(`all inputs together, each within its range, ${percent(extrapolation.share_jointly)}`);
  return told.length ? `Outside of training in the last day: ${told.join(", ")}` : "";
}

function contact(text) {
  const plain = /^[\w.+-]+@[\w.-]+$/.test(text);
  return plain ? el("a", { href: `mailto:${text}` }, text) : document.createTextNode(text);
}

// Where the value stands: the trained range is the middle 60 % of the bar.
function rangeBar(v, trained) {
  if (!trained || !Number.isFinite(v) || !(trained[1] > trained[0])) return null;
  const place = Math.min(98, Math.max(2, 20 + (60 * (v - trained[0])) / (trained[1] - trained[0])));
  return svg("svg", { class: "range", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "whole", x: 0, y: 3, width: 100, height: 4 }),
    svg("rect", { class: "trained", x: 20, y: 3, width: 60, height: 4 }),
    svg("rect", { class: "mark", x: place - 1.5, y: 0, width: 3, height: 10 }));
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

