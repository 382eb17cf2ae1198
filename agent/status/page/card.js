// The verdict of one model: large, in colour, shape and word, with what to do and who must act.
// The overview and a model's own page show the same card.

import { el, setAttr, setSymbol, setText, symbol } from "./dom.js";
import { age, CAUSE_WORDS, count, iso, moment, percent, plural, VERDICT_WORDS } from "./words.js";

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

export class Card {
  // `name` is the heading that the model's name stands in; `showTag` goes to a tag's row.
  constructor(model, name, showTag, more = []) {
    this.showTag = showTag;
    this.symbol = symbol(model.verdict);
    this.word = el("span", { class: "word" });
    this.since = el("p", { class: "since" });
    this.provisional = el("p", { class: "provisional", hidden: true });
    this.reasons = el("ul", { class: "reasons" });
    this.owner = el("p", { class: "owner" });
    this.outside = el("p", { class: "quiet", hidden: true });
    this.facts = el("p", { class: "quiet" });
    this.root = el("article", { class: "model" },
      el("header", { class: "verdict" }, this.symbol, el("div", {}, name, el("p", { class: "big" }, this.word))),
      el("div", { class: "body" }, this.since, this.provisional, this.reasons, this.owner, this.outside, ...more, this.facts));
  }

  fill(model, nowNs) {
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
    this.fillReasons(model);
  }

  fillReasons(model) {
    const written = JSON.stringify([model.reasons, model.owner, model.last_known?.verdict]);
    if (written === this.written) return;
    this.written = written;
    this.reasons.replaceChildren(...model.reasons.map((reason) => this.reason(reason)));
    if (model.last_known) {
      const known = model.last_known;
      const why = known.reasons.map((reason) => reason.text).join("; ");
      this.reasons.append(el("li", { class: "before" },
        el("p", {}, `Before that: ${VERDICT_WORDS[known.verdict] ?? known.verdict}${why ? ` (${why})` : ""}`)));
    }
    this.owner.replaceChildren("Owner: ", el("b", {}, model.owner.team), " · ", contact(model.owner.contact));
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
