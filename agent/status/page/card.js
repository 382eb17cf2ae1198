// The verdict of one model: large, in colour, shape and word, with what to do and who must act.
// The overview and a model's own page show the same card.

import { el, setAttr, setSymbol, setText, symbol } from "./dom.js";
import { Reasons } from "./reasons.js";
import { age, count, inZone, iso, moment, percent, plural, VERDICT_WORDS } from "./words.js";

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
    reasons: [{ text, cause: "unknown", kind: "expired", tag: "", hint: "see that the agent runs: systemctl status fieldwarden" }],
    last_known: { verdict: model.verdict, since_ns: model.since_ns, reasons: model.reasons },
  };
}

export class Card {
  // `name` is the heading that the model's name stands in; `showTag` goes to a tag's row.
  constructor(model, name, showTag, more = []) {
    this.symbol = symbol(model.verdict);
    this.word = el("span", { class: "word" });
    this.since = el("p", { class: "since" });
    this.provisional = el("p", { class: "provisional", hidden: true });
    this.reasons = new Reasons(showTag);
    this.before = el("p", { class: "before", hidden: true });
    this.owner = el("p", { class: "owner" });
    this.outside = el("p", { class: "quiet", hidden: true });
    this.facts = el("p", { class: "quiet" });
    this.root = el("article", { class: "model" },
      el("header", { class: "verdict" }, this.symbol, el("div", {}, name, el("p", { class: "big" }, this.word))),
      el("div", { class: "body" }, this.since, this.provisional, this.reasons.root, this.before, this.owner, ...more, this.outside, this.facts));
  }

  fill(model, status, nowNs) {
    setAttr(this.root, "data-verdict", model.verdict);
    setSymbol(this.symbol, model.verdict);
    setText(this.word, VERDICT_WORDS[model.verdict] ?? model.verdict);
    setText(this.since, `Since ${moment(model.since_ns, nowNs)} (${age((nowNs - model.since_ns) / 1e9)})`);
    setAttr(this.since, "title", iso(model.since_ns));
    this.provisional.hidden = !model.provisional;
    setText(this.provisional, model.provisional_text || "Thresholds are provisional: the baseline is too short to keep the false-alarm promise.");
    setText(this.facts, `version ${model.version}, ${plural(model.scans ?? 0, "scan", "scans")}, baseline ${model.baseline || "none"}`);
    const outside = outsideText(model);
    this.outside.hidden = !outside;
    setText(this.outside, outside);
    this.reasons.show(model.reasons, status, nowNs);
    this.fillBefore(model, nowNs);
    this.fillOwner(model);
  }

  // What was true before the verdict ran out.
  fillBefore({ last_known: known }, nowNs) {
    this.before.hidden = !known;
    if (!known) return;
    const why = known.reasons.map((reason) => inZone(reason.text, nowNs)).join("; ");
    setText(this.before, `Before that: ${VERDICT_WORDS[known.verdict] ?? known.verdict}${why ? ` (${why})` : ""}`);
  }

  fillOwner({ owner }) {
    const written = JSON.stringify(owner);
    if (written === this.written) return;
    this.written = written;
    this.owner.replaceChildren("Owner: ", el("b", {}, owner.team), " · ", contact(owner.contact));
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
