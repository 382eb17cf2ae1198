// One change upstream: what is different, since when, whom it touches, what it would do, who decided
// and who still must. The overview and a model's own page show the same.

import { decidedOn, Decision } from "./change_acts.js";
import { el, listed, setAttr, setText } from "./dom.js";
import { age, count, inZone, iso, moment, percent, value } from "./words.js";

const UNDECIDED = ["detected", "proposed", "assessed"];
const HOLD_WORDS = { held: "held", "would hold": "would be held" };
const HOW_WORDS = {
  connected: "when it connected", interval: "when it was asked", announced: "when it said so", "in band": "with a sample",
  values: "in its values", proposed: "told ahead",
};
const SHOWN_MOST = 12;
const TAGS_MOST = 6;

// The same as is_open of agent/status/change_lines.py.
export function isOpen(one) {
  return one.state === "rejected" ? !one.ended_ns : UNDECIDED.includes(one.state) || one.state === "announced";
}

// Those that wait for somebody or are announced, all or those that reach a model; what is held comes first.
export function openOnes(changes, model = null) {
  const reached = (one) => model === null || (one.models ?? []).some(({ name }) => name === model);
  return (changes ?? []).filter((one) => isOpen(one) && reached(one)).sort((a, b) => (a.hold !== "held") - (b.hold !== "held") || a.found_ns - b.found_ns);
}

export function newChange(one, acting) {
  const part = {
    state: el("span", { class: "chip" }), hold: el("span", { class: "chip hold" }), grade: el("span", { class: "chip" }),
    name: el("b", { class: "name" }), text: el("p", { class: "why" }), hint: el("p", { class: "do" }), meta: el("p", { class: "meta" }),
    tags: el("p", { class: "chips" }), more: el("div", { class: "of-request" }), decision: new Decision(acting, one.id),
  };
  part.root = el("li", { class: "request change" }, el("p", { class: "chips" }, part.name, part.state, part.hold, part.grade),
    part.text, part.hint, part.meta, part.tags, part.more, part.decision.root);
  return part;
}

// `showTag` goes to a tag's row.
export function fillChange(part, one, nowNs, showTag) {
  setAttr(part.root, "data-hold", isOpen(one) ? one.hold : "none");
  setText(part.name, one.id);
  setText(part.state, one.state);
  part.hold.hidden = !(one.hold in HOLD_WORDS) || !isOpen(one);
  setText(part.hold, HOLD_WORDS[one.hold] ?? "");
  part.grade.hidden = !one.grade;
  setText(part.grade, one.grade ?? "");
  setText(part.text, inZone(one.text, nowNs));
  part.hint.hidden = !one.hint;
  setText(part.hint, `Do: ${one.hint}`);
  const since = one.since_ns || one.found_ns;
  setText(part.meta, [`source ${one.source}`, `since ${moment(since, nowNs)} (${age((nowNs - since) / 1e9)})`, `found ${moment(one.found_ns, nowNs)} ${one.window ? "told ahead" : HOW_WORDS[one.how] ?? one.how}`,
    one.window ? `window ${moment(one.window[0], nowNs)} to ${moment(one.window[1], nowNs)}${one.announced_by ? `, announced by ${one.announced_by}` : ""}` : "",
    one.expires_ns ? `expires ${moment(one.expires_ns, nowNs)}` : "",
    one.in_force_from ? `in force from entry ${count(one.in_force_from)}` : ""].filter(Boolean).join(" · "));
  setAttr(part.meta, "title", iso(since));
  part.decision.show(one);
  const written = JSON.stringify([one.tags, one.differences, one.models, one.assessment, one.assessing, one.approvals, one.needs, one.map, one.suggested]);
  if (part.written === written) return;
  part.written = written;
  fillTags(part, one.tags ?? [], showTag);
  part.more.replaceChildren(...[
    listed("Differences", one.differences?.length > 1 ? most(one.differences.map((d) => inZone(`${d.text} (${d.grade})`, nowNs))) : []),
    listed("Touches", (one.models ?? []).map((m) => `model ${m.name} ${m.version}, ${m.owner}`)),
    assessed(one, nowNs),
    listed("Decided", decidedOn(one, nowNs)),
    listed("Map", mapped(one)),
  ].filter(Boolean));
}

function fillTags(part, tags, showTag) {
  part.tags.hidden = !tags.length;
  part.tags.replaceChildren(...tags.slice(0, TAGS_MOST).map((name) => {
    const button = el("button", { type: "button", class: "link" }, name);
    button.addEventListener("click", () => showTag(name));
    return button;
  }), tags.length > TAGS_MOST ? el("span", { class: "quiet" }, `and ${count(tags.length - TAGS_MOST)} more tags`) : "");
}

// --- words --------------------------------------------------------------------------------------

function most(texts) {
  return texts.length > SHOWN_MOST ? [...texts.slice(0, SHOWN_MOST), `and ${count(texts.length - SHOWN_MOST)} more`] : texts;
}

// What a replay of the last days with the change applied showed; while it runs, how far it is.
function assessed({ assessment, assessing, state }, nowNs) {
  if (assessing && !assessing.since_ns) return listed("Assessment", [assessing.text]); // it does not run
  if (assessing) {
    const share = Math.min(1, Math.max(0, Number(assessing.progress) || 0));
    return el("div", {}, el("h3", {}, "Assessment"), el("p", {}, `${assessing.text || "the last days are replayed with it"}: ${Math.round(100 * share)} % `,
      el("progress", { value: share, max: 1, "aria-label": "Progress of the assessment" })));
  }
  if (!assessment) return UNDECIDED.includes(state) ? listed("Assessment", ["not there yet"]) : null;
  const models = Object.entries(assessment.models ?? {}).map(([name, one]) => modelText(name, one));
  const span = assessment.from_ns && assessment.to_ns ? [`of ${moment(assessment.from_ns, nowNs)} to ${moment(assessment.to_ns, nowNs)}`] : [];
  const further = Object.entries(assessment.further ?? {}).map(([name, tags]) => `behind them ${name}, by ${tags.join(", ")}: not replayed`);
  return listed("Assessment", most([assessment.text, ...models, ...further, ...span, ...(assessment.notes ?? [])].filter(Boolean)));
}

function modelText(name, { share, changed, scans, alarms, verdicts, losses }) {
  const told = [`${name}: ${Number.isFinite(share) ? percent(share) : count(changed)} of ${count(scans)} scans get another verdict`];
  if (alarms) told.push(`alarms ${count(alarms.now)} → ${count(alarms.then)}`);
  const { now, then } = verdicts ?? {};
  for (const verdict of now && then ? ["trusted", "unassessable"] : []) {
    const [before, after] = [now, then].map((one) => shareOf(one, verdict));
    if (before !== after) told.push(`${verdict} ${percent(before)} → ${percent(after)}`);
  }
  for (const [label, one] of Object.entries(losses ?? {})) {
    const [was, becomes] = [one.now, one.then].map((side) => side?.mean);
    if (Number.isFinite(was) && Number.isFinite(becomes)) told.push(`mean loss by ${label} ${value(was)} → ${value(becomes)}`);
  }
  return told.join(", ");
}

// Verdicts are told as counts of scans, or as shares of them.
function shareOf(verdicts, name) {
  const all = Object.values(verdicts).reduce((sum, one) => sum + one, 0);
  return all ? (verdicts[name] ?? 0) / all : 0;
}

function mapped({ map, suggested }) {
  const told = Object.entries(map ?? suggested ?? {}).map(([tag, part]) => `${tag}: ${partText(part)}`);
  return told.length && !map ? most(told.map((text) => `suggested for ${text}`)) : most(told);
}

function partText({ factor, offset, unit, ...other }) {
  const told = [];
  const times = (factor ?? 1) === 1 ? "" : ` × ${value(factor)}`;
  const plus = offset ? ` ${offset < 0 ? "−" : "+"} ${value(Math.abs(offset))}` : "";
  if (times || plus) told.push(`agreed = served${times}${plus}`);
  if (unit) told.push(`unit ${unit}`);
  for (const [key, val] of Object.entries(other)) told.push(`${key.replaceAll("_", " ")} ${typeof val === "object" ? JSON.stringify(val) : val}`);
  return told.join(", ");
}
