// A retraining request on its model's own page: why, what moved, what was left out, who decided, and
// what to type. What a trial adds is shown by the words it brings.

import { el, listed, setAttr, setText } from "./dom.js";
import { duration, inZone, iso, moment, value } from "./words.js";

// States in which nobody has anything to do any more; the same as in agent/central/requests.py.
export const ENDED = ["closed", "withdrawn", "accepted", "rejected", "rolled back", "superseded"];

const KNOWN = new Set(["id", "model", "version", "owner", "baseline", "since_ns", "opened_ns", "until_ns", "criteria", "moved",
  "further", "losses", "state", "decisions", "text", "hint", "left_out"]);
const FACTS_MOST = 12;
const LEFT_OUT_MOST = 20;

export function newRequest() {
  const part = {
    state: el("span", { class: "chip" }),
    why: el("ul", { class: "why" }),
    meta: el("p", { class: "meta" }),
    hint: el("p", { class: "do" }),
    more: el("div", { class: "of-request" }),
  };
  part.root = el("li", { class: "request" }, el("p", {}, "Request ", part.state), part.why, part.hint, part.meta, part.more);
  return part;
}

export function fillRequest(part, one, nowNs) {
  setAttr(part.root, "data-state", one.state);
  setText(part.state, one.state);
  part.hint.hidden = !one.hint;
  setText(part.hint, `Do: ${one.hint}`);
  const until = one.until_ns ? ` · its data ends ${moment(one.until_ns, nowNs)}` : "";
  setText(part.meta, `${one.id} · since ${moment(one.since_ns, nowNs)} · asked ${moment(one.opened_ns, nowNs)}${until} · version ${one.version} · for ${one.owner}`);
  setAttr(part.meta, "title", `since ${iso(one.since_ns)}, asked ${iso(one.opened_ns)}`);
  const written = JSON.stringify(one);
  if (part.written === written) return;
  part.written = written;
  part.why.replaceChildren(...(one.criteria?.length ? one.criteria : [one.text]).map((text) => el("li", {}, inZone(text, nowNs))));
  part.more.replaceChildren(...[
    listed("Inputs that moved", moved(one)),
    listed("Left out of any training data", leftOut(one, nowNs)),
    listed("Decided", decided(one, nowNs)),
    listed("Also told", further(one)),
    commands(one),
  ].filter(Boolean));
}

// A candidate beside the model in service: what it is judged by, and what was found so far.
export function newTrial() {
  const part = { state: el("span", { class: "chip" }), text: el("p", { class: "why" }), hint: el("p", { class: "do" }), meta: el("p", { class: "meta" }), more: el("div", { class: "of-request" }) };
  part.root = el("li", { class: "request" }, el("p", {}, "Trial ", part.state), part.text, part.hint, part.meta, part.more);
  return part;
}

export function fillTrial(part, one, nowNs) {
  setAttr(part.root, "data-state", one.state);
  setText(part.state, one.state);
  setText(part.text, inZone(one.text, nowNs));
  part.hint.hidden = !one.hint;
  setText(part.hint, `Do: ${one.hint}`);
  setText(part.meta, [one.id, `candidate ${one.version}`, one.since_ns ? `since ${moment(one.since_ns, nowNs)}` : "",
    one.left_ns ? `${duration(one.left_ns / 1e9)} left` : "", one.request ? `of ${one.request}` : ""].filter(Boolean).join(" · "));
  const written = JSON.stringify([one.state, one.judged, one.decisions, one.hint]);
  if (part.written === written) return;
  part.written = written;
  const judged = Array.isArray(one.judged) ? one.judged : [];
  part.more.replaceChildren(...[
    listed("Judged by", judged.map((j) => `${{ met: "✓", "not met": "✕" }[j.state] ?? "…"} ${j.text}: ${j.found} (${j.state})`)),
    listed("Decided", decided(one, nowNs)),
    typed(one.hint ? TRIAL_ACTS[one.state] ?? [] : [], one.model),
  ].filter(Boolean));
}

function decided({ decisions }, nowNs) {
  return (decisions ?? []).map((d) => `${moment(d.time_ns, nowNs)}: ${d.state}${d.by ? ` by ${d.by}` : ""}${d.note ? `: ${d.note}` : ""}`);
}

function moved({ moved: inputs, further: more }) {
  const told = (inputs ?? []).map((one) => {
    const unit = one.unit ? ` ${one.unit}` : "";
    const off = Number.isFinite(one.off) ? `${one.off > 0 ? "+" : ""}${one.off.toFixed(1)} sd` : "moved";
    const trained = one.trained ? ` (${value(one.trained[0])} to ${value(one.trained[1])})` : "";
    return `${one.tag}: ${off}, now ${value(one.value)}${unit}, in training ${value(one.centre)}${unit}${trained}`;
  });
  return more ? [...told, `and ${more} more`] : told;
}

function leftOut({ left_out: spans }, nowNs) {
  const all = spans ?? [];
  const told = all.slice(-LEFT_OUT_MOST).map((one) =>
    `${moment(one.from_ns, nowNs)} to ${one.to_ns ? moment(one.to_ns, nowNs) : "now"}: ${one.kind} on ${one.subject} (${one.cause})`);
  return all.length > LEFT_OUT_MOST ? [`${all.length - LEFT_OUT_MOST} earlier ones`, ...told] : told;
}

// What later states of a request bring along, such as a trial's figures: texts and numbers as told.
function further(one) {
  const told = [];
  for (const [key, val] of Object.entries(one)) {
    if (!KNOWN.has(key)) tell(told, key.replaceAll("_", " "), val);
  }
  return told.slice(0, FACTS_MOST);
}

function tell(told, name, val) {
  if (typeof val === "string" || typeof val === "number") {
    if (val !== "") told.push(`${name}: ${typeof val === "number" ? value(val) : val}`);
  } else if (Array.isArray(val)) {
    for (const item of val) tell(told, name, item);
  } else if (val && typeof val.text === "string") {
    told.push(`${name}: ${val.text}`);
  } else if (val && typeof val === "object") {
    for (const [key, item] of Object.entries(val)) {
      if (typeof item !== "object") tell(told, `${name}, ${key.replaceAll("_", " ")}`, item);
    }
  }
}

// A text as one word of a shell.
function quoted(text) {
  return /^[\w@.+:/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

const ACTS = {
  open: [
    ["declare", ' --reason "..."', "the shift is the new normal: its data is offered"],
    ["close", ' --reason "..."', "an equipment fault: its time is never offered"],
    ["withdraw", ' --reason "..."', "the evidence has cleared"],
  ],
  declared: [
    ["bundle", " --out bundle.zip", "evidence and clean data, to train on"],
    ["trial", ' --baseline NEW.json --version V --reason "..."', "a candidate beside the model in service"],
    ["close", ' --reason "..."', "it was an equipment fault after all"],
  ],
};

// Of a trial; they name its model.
const TRIAL_ACTS = {
  "in trial": [["reject", ' --reason "..."', "the model in service goes on"]],
  passed: [["accept", ' --reason "..."', "it serves from then on"], ["reject", ' --reason "..."', "the model in service goes on"]],
  accepted: [["rollback", ' --reason "..."', "back to what it replaced"]],
};

function commands({ state, id }) {
  return ENDED.includes(state) ? null : typed([["show", "", "all of it"], ...(ACTS[state] ?? [])], id);
}

function typed(rows, id) {
  if (!rows.length) return null;
  return el("div", {}, el("h3", {}, "On the gateway"),
    el("dl", { class: "commands" }, ...rows.map(([act, more, means]) => el("div", {},
      el("dt", {}, el("code", {}, `fieldwarden retraining ${act} CONFIG ${quoted(id)}${more}`)), el("dd", { class: "quiet" }, means)))));
}
