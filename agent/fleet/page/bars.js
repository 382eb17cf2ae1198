// A bar of verdicts: how many models are of each, the worst at its left, none too narrow to be seen.

import { el, svg, symbol } from "./dom.js";
import { count, VERDICT_WORDS, VERDICTS } from "./words.js";

const LEAST = 1.2; // percent of the bar

export function words(counts) {
  return VERDICTS.filter((verdict) => counts[verdict]).map((verdict) => `${count(counts[verdict])} ${VERDICT_WORDS[verdict].toLowerCase()}`).join(", ") || "no models";
}

export function bar(counts, thick = false) {
  const all = VERDICTS.reduce((sum, verdict) => sum + counts[verdict], 0);
  const shares = VERDICTS.map((verdict) => (counts[verdict] ? Math.max(LEAST, (100 * counts[verdict]) / all) : 0));
  const whole = shares.reduce((sum, share) => sum + share, 0) || 1;
  const root = svg("svg", { class: thick ? "bar thick" : "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": words(counts) });
  let x = 0;
  VERDICTS.forEach((verdict, at) => {
    const width = (100 * shares[at]) / whole;
    if (width) root.append(svg("rect", { class: `v-${verdict}`, x, y: 0, width, height: 10 }));
    x += width;
  });
  return root;
}

// The same in figures; what is trusted only where there is nothing else to say.
export function figures(counts) {
  const found = VERDICTS.filter((verdict) => counts[verdict]);
  return el("ul", { class: "counts" }, ...found.map((verdict) => el("li", { class: `v-${verdict}` }, symbol(verdict), `${count(counts[verdict])} ${VERDICT_WORDS[verdict].toLowerCase()}`)));
}
