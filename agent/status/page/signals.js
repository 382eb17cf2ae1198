// An input or output of a model: its value beside its training, and what is said of it.

import { broken, el, svg } from "./dom.js";
import { percent, qualityRank, qualityText, value } from "./words.js";

// What a row says, from the model's part of the document and the tag's.
export function signalFacts(signal, tag, trainedWords = "trained") {
  const worst = signal.worst;
  const checked = worst && Number.isFinite(worst.score) ? `${worst.detector} at ${Math.round(worst.score * 100)} % of its limit` : "";
  const trained = signal.trained ? `${trainedWords} ${value(signal.trained[0])} to ${value(signal.trained[1])}` : "no trained range";
  const share = signal.extrapolation?.share;
  const outside = share ? `outside for ${percent(share)} of the last day` : "";
  const quality = tag && qualityRank(tag) < 3 && !tag.condition ? `quality: ${qualityText(tag)}` : "";
  return [trained, outside, checked, quality].filter(Boolean).join(" · ");
}

export function signalRow(signal, tag) {
  const good = signal.state === "good";
  return el("li", { class: good ? "" : "poor" },
    el("p", { class: "line" }, el("span", {}, ...broken(signal.tag), signal.required ? "" : " (optional)"), el("b", {}, good ? "no condition" : `✕ ${signal.state}`)),
    el("p", { class: "line" }, el("span", {}, `${value(tag?.value)} ${tag?.unit ?? ""}`), rangeBar(tag?.value, signal.trained)),
    el("p", { class: "quiet" }, signalFacts(signal, tag)));
}

// Where the value stands: the trained range is the middle 60 % of the bar.
export function rangeBar(v, trained) {
  if (!trained || !Number.isFinite(v) || !(trained[1] > trained[0])) return null;
  const place = Math.min(98, Math.max(2, 20 + (60 * (v - trained[0])) / (trained[1] - trained[0])));
  return svg("svg", { class: "range", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "whole", x: 0, y: 3, width: 100, height: 4 }),
    svg("rect", { class: "trained", x: 20, y: 3, width: 60, height: 4 }),
    svg("rect", { class: "mark", x: place - 1.5, y: 0, width: 3, height: 10 }));
}
