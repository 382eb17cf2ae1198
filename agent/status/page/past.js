// What became of a model: a bar of its verdicts over time, the list of them, and its losses. It is
// fetched when the page is opened, when the verdict changes, and now and then.

import { byId, el, setText, svg, symbol } from "./dom.js";
import { duration, inZone, iso, moment, percent, value, VERDICT_WORDS, VERDICTS } from "./words.js";

const AGAIN_MS = 20000;
const TIMEOUT_MS = 10000;
const WIDTH = 1000;
const HEIGHT = 40;
const NOT_WATCHED = "not watched";
// How high each verdict stands in the bar: it is told apart without its colour.
const LEVELS = { untrusted: 40, unassessable: 31, caution: 22, trusted: 12, [NOT_WATCHED]: 3 };
const LOSS_HEIGHT = 120;

export class Past {
  constructor() {
    this.name = null;
  }

  open(name) {
    this.name = name;
    this.since = null;
    this.at = -AGAIN_MS;
    this.loading = false;
    for (const id of ["past-bar", "past-list", "past-losses", "past-legend"]) byId(id).replaceChildren();
    setText(byId("past-said"), name === null ? "" : "Reading the store …");
  }

  update(model, nowNs) {
    const due = performance.now() - this.at > AGAIN_MS && !document.hidden;
    if (this.loading || (!due && this.since === model.since_ns)) return;
    this.load(model.name, model.since_ns, nowNs);
  }

  async load(name, since, nowNs) {
    this.loading = true;
    this.at = performance.now();
    this.since = since;
    let told = null;
    try {
      const answer = await fetch(`/api/v1/models/${encodeURIComponent(name)}/history`, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
      if (answer.ok) told = await answer.json();
    } catch {
      told = null;
    }
    if (this.name !== name) return; // another model is looked at by now
    this.loading = false;
    if (told) this.show(told, nowNs);
    else setText(byId("past-said"), "The history could not be had; it is asked for again.");
  }

  show(told, nowNs) {
    const spans = told.verdicts;
    const shares = sharesOf(spans);
    const whole = duration((told.until_ns - told.since_ns) / 1e9);
    setText(byId("past-said"), spans.length ? `${whole}, from ${moment(told.since_ns, nowNs)} to ${moment(told.until_ns, nowNs)}` : "Nothing is kept of it yet.");
    byId("past-bar").replaceChildren(...(spans.length ? [bar(told, shares)] : []));
    byId("past-legend").replaceChildren(...shares.map(([verdict, share]) => el("li", { class: `v-${classOf(verdict)}` },
      mark(verdict), `${wordOf(verdict)} ${percent(share)}`)));
    byId("past-list").replaceChildren(...[...spans].reverse().map((span) => row(span, nowNs)));
    byId("past-losses").replaceChildren(...told.losses.filter((one) => one.windows.length > 1).map((one) => lossPicture(one, nowNs)));
  }
}

const classOf = (verdict) => (VERDICTS.includes(verdict) ? verdict : "off");
const wordOf = (verdict) => VERDICT_WORDS[verdict] ?? "Not watched";

function mark(verdict) {
  const node = symbol(VERDICTS.includes(verdict) ? verdict : "off");
  node.classList.add("small");
  return node;
}

function sharesOf(spans) {
  const length = new Map();
  let whole = 0;
  for (const span of spans) {
    length.set(span.verdict, (length.get(span.verdict) ?? 0) + span.end_ns - span.start_ns);
    whole += span.end_ns - span.start_ns;
  }
  const found = [...VERDICTS].reverse().concat(NOT_WATCHED).filter((verdict) => length.get(verdict));
  return found.map((verdict) => [verdict, length.get(verdict) / whole]);
}

function bar({ verdicts: spans, since_ns: since, until_ns: until }, shares) {
  const scale = WIDTH / Math.max(1, until - since);
  const words = shares.map(([verdict, share]) => `${wordOf(verdict)} ${percent(share)}`).join(", ");
  return svg("svg", { class: "past-bar", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `Verdicts over time: ${words}` },
    ...spans.map((span) => {
      const height = LEVELS[span.verdict] ?? LEVELS[NOT_WATCHED];
      const left = (span.start_ns - since) * scale;
      return svg("rect", { class: `v-${classOf(span.verdict)}`, x: left.toFixed(2), y: HEIGHT - height, width: Math.max(1, (span.end_ns - span.start_ns) * scale).toFixed(2), height });
    }));
}

function row(span, nowNs) {
  return el("li", { class: `v-${classOf(span.verdict)}` }, mark(span.verdict),
    el("p", {}, el("b", {}, wordOf(span.verdict)), " ", el("time", { datetime: iso(span.start_ns) }, moment(span.start_ns, nowNs)),
      el("span", { class: "quiet" }, ` for ${duration((span.end_ns - span.start_ns) / 1e9)}`), span.why ? el("span", { class: "past-why" }, inZone(span.why, nowNs)) : null));
}

// Mean losses over time, beside that of training (dashed).
function lossPicture(one, nowNs) {
  const windows = one.windows;
  const first = windows[0].start_ns;
  const last = windows.at(-1).end_ns;
  const known = Number.isFinite(one.expected_loss) ? one.expected_loss : 0;
  const most = 1.1 * Math.max(known, ...windows.map((w) => w.mean_loss)) || 1;
  const x = (ns) => (WIDTH * (ns - first)) / Math.max(1, last - first);
  const y = (loss) => LOSS_HEIGHT * (1 - loss / most);
  const path = windows.map((w, i) => `${i ? "L" : "M"}${x((w.start_ns + w.end_ns) / 2).toFixed(1)} ${y(w.mean_loss).toFixed(1)}`).join("");
  const trained = one.expected_loss === null ? "" : `, in training ${value(one.expected_loss)}`;
  const lowest = Math.min(...windows.map((w) => w.mean_loss));
  const highest = Math.max(...windows.map((w) => w.mean_loss));
  const said = `${one.output}: mean loss (${one.loss}) from ${value(lowest)} to ${value(highest)}, last ${value(windows.at(-1).mean_loss)}${trained}`;
  const parts = [svg("path", { class: "loss", d: path })];
  if (one.expected_loss !== null) parts.unshift(svg("path", { class: "trained", d: `M0 ${y(known).toFixed(1)}H${WIDTH}` }));
  return el("figure", {},
    svg("svg", { class: "losses", viewBox: `0 0 ${WIDTH} ${LOSS_HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": said }, ...parts),
    el("figcaption", { class: "quiet" }, `${said}${trained ? " (dashed)" : ""}; ${moment(first, nowNs)} to ${moment(last, nowNs)}, from 0`));
}
