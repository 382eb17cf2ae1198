// Sources, and the agent itself: uplink, false-alarm budget, process.

import { byId, el, Keyed, setAttr, setSymbol, setText, symbol } from "./dom.js";
import { age, bytes, count, duration, moment, plural } from "./words.js";

const SOURCE_RANK = { failed: 0, stale: 1, connecting: 2, live: 3 };
const SOURCE_SYMBOL = { live: "on", connecting: "wait", stale: "medium", failed: "off" };

export class Sources {
  constructor() {
    this.list = new Keyed(byId("sources"), (source) => this.create(source));
    this.before = new Map();
  }

  update(status, nowNs) {
    const sources = [...status.sources];
    sources.sort((a, b) => (SOURCE_RANK[a.state] ?? 0) - (SOURCE_RANK[b.state] ?? 0) || a.name.localeCompare(b.name));
    const poor = sources.filter((s) => s.state !== "live").length;
    setText(byId("sources-count"), poor ? `${count(poor)} of ${count(sources.length)} not live` : `${count(sources.length)} live`);
    this.list.show(sources, (s) => s.name, (part, s) => this.fill(part, s, status, nowNs));
  }

  create(source) {
    const part = { symbol: symbol("on"), state: el("b"), name: el("span", { class: "name" }), reason: el("p", { class: "why" }), meta: el("p", { class: "meta" }) };
    part.root = el("li", { class: "source" }, part.symbol,
      el("div", {}, el("p", {}, part.name, " ", part.state, ` · ${source.protocol}`), part.reason, part.meta));
    return part;
  }

  fill(part, s, status, nowNs) {
    setAttr(part.root, "data-state", s.state);
    setSymbol(part.symbol, SOURCE_SYMBOL[s.state] ?? "off");
    setText(part.name, s.name);
    setText(part.state, s.state);
    part.reason.hidden = !s.reason || s.state === "live";
    setText(part.reason, s.reason);
    const last = s.last_arrival_ns ? `last value ${age((nowNs - s.last_arrival_ns) / 1e9)} ago` : "no value yet";
    const rate = this.rate(s, status.time_ns);
    setText(part.meta, `since ${moment(s.since_ns, nowNs)} · ${last} · ${count(s.received)} values${rate === null ? "" : `, ${rate}/s`}`);
  }

  // Values per second over about the last 10 s, from the counter and the document's own time.
  rate(source, timeNs) {
    const marks = this.before.get(source.name) ?? [];
    if (!marks.length || marks.at(-1).timeNs < timeNs) marks.push({ timeNs, received: source.received });
    while (marks.length > 2 && timeNs - marks[0].timeNs > 10e9) marks.shift();
    this.before.set(source.name, marks);
    const seconds = (timeNs - marks[0].timeNs) / 1e9;
    const gained = source.received - marks[0].received;
    if (seconds < 2 || gained < 0) return null;
    return String(Number((gained / seconds).toPrecision(2)));
  }
}

export class Agent {
  constructor() {
    this.list = new Keyed(byId("agent"), (fact) => {
      const part = { text: el("span"), state: symbol("on") };
      part.root = el("div", {}, el("dt", {}, fact.name), el("dd", {}, part.state, part.text));
      return part;
    });
  }

  update(status, nowNs) {
    this.list.show(facts(status, nowNs), (fact) => fact.name, (part, fact) => {
      setText(part.text, fact.text);
      setAttr(part.root, "data-state", fact.state ?? "");
      setSymbol(part.state, { poor: "off", good: "on" }[fact.state] ?? "on");
    });
  }
}

function facts(status, nowNs) {
  const told = [uplink(status.outbox ?? {}, nowNs), budget(status.budget ?? {}), ...certificates(status), ...recovered(status, nowNs), clock(status), process(status, nowNs)];
  if (status.reload?.text) told.unshift(configuration(status.reload));
  return told;
}

// What does not work although the agent runs, with what to do; empty where all does.
export function degraded({ trouble, parts }) {
  const told = [];
  if (trouble?.text) told.push(`nothing is stored, sampling and verdicts go on in memory: ${trouble.text}${trouble.hint ? `. To do: ${trouble.hint}` : ""}`);
  for (const part of parts ?? []) {
    if (part.state !== "running") told.push(`${part.name} failed ${plural(part.restarts, "time", "times")} and is started again: ${part.reason}`);
  }
  return told.join("; ");
}

function recovered({ parts }, nowNs) {
  const again = (parts ?? []).filter((part) => part.state === "running");
  return again.map(({ name, since_ns, reason }, place) => ({
    name: place ? `Recovered ${place + 1}` : "Recovered",
    text: `${name} began anew at ${moment(since_ns, nowNs)}: ${reason}`,
  }));
}

function certificates({ certificates: told }) {
  return (told ?? []).map((text, place) => ({ name: place ? `Certificate ${place + 1}` : "Certificate", state: "poor", text }));
}

function configuration({ text, hint }) {
  return { name: "Configuration", state: "poor", text: hint ? `${text}. To do: ${hint}` : text };
}

function uplink(outbox, nowNs) {
  if (!outbox.configured) return { name: "Uplink", text: "None is configured: nothing is sent to central." };
  const state = outbox.connected ? "connected to central" : `not connected${outbox.reason ? `: ${outbox.reason}` : ""}`;
  const oldest = outbox.oldest_ns ? `, the oldest for ${age((nowNs - outbox.oldest_ns) / 1e9)}` : "";
  const waiting = outbox.pending
    ? `${plural(outbox.pending, "message waits", "messages wait")} in the outbox (${bytes(outbox.bytes)}${oldest}); kept until central has them`
    : "the outbox is empty";
  const dropped = Object.entries(outbox.dropped ?? {}).filter(([, n]) => n);
  const lost = dropped.length ? `; dropped: ${dropped.map(([why, n]) => `${count(n)} ${why}`).join(", ")}` : "; none dropped";
  const aside = outbox.dead_letters?.count
    ? `; put aside as undeliverable: ${count(outbox.dead_letters.count)} (last: ${outbox.dead_letters.last ?? "one"}: ${outbox.dead_letters.last_reason ?? "unknown"})`
    : "";
  return { name: "Uplink", state: outbox.connected ? "good" : "poor", text: `${state}; ${waiting}; ${count(outbox.delivered)} delivered${lost}${aside}` };
}

function budget(b) {
  const raised = Number.isFinite(b.raised_30_days)
    ? `; in the last 30 days ${plural(b.raised_30_days, "incident", "incidents")}, ${count(b.acknowledged_false ?? 0)} acknowledged as false`
    : "";
  const text = `promised: at most ${b.false_alarms || "unknown"}${raised}${b.text ? `; ${b.text}` : ""}`;
  return { name: "False alarms", state: b.exceeded ? "poor" : undefined, text };
}

const CLOCK = {
  synchronised: { text: "synchronised" },
  unsynchronised: { text: "not synchronised: times may be off" },
  implausible: { state: "poor", text: "the date can not be right: times are not to be believed until the clock is set" },
};

function clock(status) {
  return { name: "Clock", ...(CLOCK[status.time_quality] ?? { text: "nobody knows whether it is synchronised" }) };
}

function process(status, nowNs) {
  const p = status.process ?? {};
  const parts = [`version ${status.version}`, `boot ${count(status.boot)}`, `entry ${count(status.sequence)}`];
  if (status.started_ns) parts.push(`up for ${duration((nowNs - status.started_ns) / 1e9)}`);
  if (Number.isFinite(p.cpu_percent)) parts.push(`${p.cpu_percent.toFixed(1)} % of a core`);
  if (Number.isFinite(p.rss_mb)) parts.push(`${Math.round(p.rss_mb)} MB`);
  if (Number.isFinite(p.loop_lag_p99_ms)) parts.push(`loop lag ${p.loop_lag_p99_ms.toFixed(1)} ms (p99)`);
  return { name: "Process", text: parts.join(" · ") };
}
