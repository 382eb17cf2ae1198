// How values, ages and moments are worded. Engine times are nanoseconds since 1970; as JavaScript
// numbers they are exact to 256 ns, which is enough for everything that a person reads here.

const whole = new Intl.NumberFormat("en");
const clockTime = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const dayTime = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hour12: false });

const zoned = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" });
const STAMP = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g;

export const VERDICTS = ["untrusted", "unassessable", "caution", "trusted"];
export const VERDICT_WORDS = {
  trusted: "Trusted",
  caution: "Caution",
  untrusted: "Untrusted",
  unassessable: "Not assessable",
};
export const CAUSE_WORDS = {
  sensor: "Sensor",
  integration: "Integration",
  process: "Process",
  model: "Model",
  unknown: "Cause unknown",
};
// Kinds of reasons that are no fault with a cause to be found; the same as in agent/status/reason_lines.py.
const SELF_EXPLAINED = ["planned maintenance", "out of service", "extrapolating", "waiting", "not stored", "expired"];
export const ROLE_WORDS = { input: "input", output: "output", label: "label", mode: "mode", none: "in no model" };
const NOT_USABLE = 1 | 4 | 8 | 64 | 128 | 256 | 512 | 1024 | 2048 | 4096 | 8192 | 16384;
const UNCERTAIN = 2;

// What a reason is by: its cause, or its kind where that says it without one.
export function causeText(cause, kind) {
  if (cause === "unknown" && SELF_EXPLAINED.includes(kind)) return kind[0].toUpperCase() + kind.slice(1);
  return CAUSE_WORDS[cause] ?? cause;
}

export function count(value) {
  return value === null || value === undefined ? "–" : whole.format(value);
}

export function plural(n, one, many) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const s = Math.max(0, seconds);
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 99.5) return `${Math.round(s)} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 100) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

// Steadier than duration(): for what is repainted every second and should not flicker in tenths.
export function age(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  return seconds < 9.95 ? `${Math.max(0, Math.floor(seconds))} s` : duration(seconds);
}

// In this browser's zone, which `zone` names; the day stands with it where it is not near.
export function moment(ns, nowNs) {
  if (!ns) return "unknown";
  const date = new Date(ns / 1e6);
  return Math.abs(nowNs - ns) / 1e9 < 43200 ? clockTime.format(date) : dayTime.format(date);
}

export function zone(ns) {
  return zoned.formatToParts(new Date(ns / 1e6)).find((part) => part.type === "timeZoneName")?.value ?? "";
}

// What the agent wrote, which has its times in UTC, with them as this page tells all others.
export function inZone(text, nowNs) {
  return String(text ?? "").replace(STAMP, (stamp) => moment(Date.parse(stamp) * 1e6, nowNs));
}

export function iso(ns) {
  return ns ? new Date(ns / 1e6).toISOString() : "";
}

export function value(v) {
  if (typeof v !== "number" || !Number.isFinite(v)) return "–";
  if (v === 0) return "0";
  const size = Math.abs(v);
  if (size >= 1e6 || size < 1e-3) return v.toExponential(3);
  return String(Number(v.toPrecision(5)));
}

// A share of time, to two digits.
export function percent(share) {
  return share >= 0.001 ? `${Number((100 * share).toPrecision(2))}\u00a0%` : "<\u00a00.1\u00a0%";
}

export function bytes(n) {
  if (!Number.isFinite(n)) return "–";
  if (n < 1000) return `${n} B`;
  if (n < 1e6) return `${(n / 1e3).toFixed(1)} kB`;
  return `${(n / 1e6).toFixed(1)} MB`;
}

// 0 bad or faulty, 1 nothing arrived yet, 2 uncertain, 3 good; the same rule as agent/status/view.py.
export function qualityRank(tag) {
  if (tag.condition) return 0;
  if (tag.arrival_ns === null) return 1;
  if (tag.quality & NOT_USABLE) return 0;
  return tag.quality & UNCERTAIN ? 2 : 3;
}

export function qualityText(tag) {
  const names = tag.arrival_ns === null ? ["nothing yet"] : tag.quality_names.map((name) => name.replaceAll("_", " "));
  if (!tag.condition) return names.join(", ");
  return [tag.condition, ...names.filter((name) => name !== "good" && name !== tag.condition)].join(", ");
}

// What a person did to a condition: "shelved by Mara Lind until 14:00: being changed".
export function acted(act, nowNs) {
  const what = act.false ? `${act.what} as false` : act.what;
  const by = act.by ? ` by ${act.by}` : "";
  const until = act.until_ns ? ` until ${moment(act.until_ns, nowNs)}` : "";
  return `${what}${by}${until}${act.note ? `: ${act.note}` : ""}`;
}

// An event in words, without its time.
export function eventText({ kind, subject, data }) {
  const of = subject.replace(/^(tag|model|source)\//, "");
  const by = data.by ? ` by ${data.by}${data.note ? ` (${data.note})` : ""}` : "";
  if (kind === "verdict") return `${of} is ${VERDICT_WORDS[data.verdict]?.toLowerCase() ?? data.verdict}${data.was ? `, was ${VERDICT_WORDS[data.was]?.toLowerCase() ?? data.was}` : ""}${data.reasons?.length ? `: ${data.reasons[0].text}` : ""}`;
  if (kind === "condition") return `${data.text || data.kind}: ${data.change}${by}`;
  if (kind === "source") return `${of} is ${data.state}${data.reason ? `: ${data.reason}` : ""}`;
  if (kind === "retraining") return `retraining of ${of} ${data.change}: ${data.text}${by}`;
  if (kind === "change") return `${data.id}, ${data.change}: ${data.text}${by}`;
  if (kind === "mode") return `${of} is in mode ${data.mode ?? "unknown"}${data.was ? `, was ${data.was}` : ""}`;
  if (kind === "configuration") return `${of}: ${String(data.change).replaceAll("_", " ")}${by}`;
  if (kind === "finding") return `${of}: ${data.detector ?? "a chart"} ${data.up === false ? "has nothing to say any more" : "has found something"}`;
  const text = data.text || data.reason || [data.change, data.part].filter(Boolean).join(": ");
  return `${of}: ${text || kind}`;
}
