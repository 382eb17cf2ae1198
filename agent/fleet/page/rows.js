// One element for one gateway, site, incident, request, change, silent gateway or broken promise.

import { bar, figures } from "./bars.js";
import { el, symbol } from "./dom.js";
import { ofGateway, ofSite } from "./places.js";
import { age, CAUSE_WORDS, count, moment, plural, VERDICT_WORDS, VERDICTS } from "./words.js";

const WORST_SHOWN = 3;
const NAMES_SHOWN = 4;
const SILENT_S = 300; // the same as in agent/fleet/rollup.py

// For spans that a person reads as "since when", not as a clock.
export const ago = (seconds) => (Number.isFinite(seconds) ? `${age(seconds)} ago` : "never");
const linkTo = (one) => el("a", { class: "name", href: ofGateway(one.site, one.gateway) }, `${one.site} / ${one.gateway}`);

// A moment that a gateway or central told as text.
export const at = (text) => (text ? moment(Date.parse(text) * 1e6, Date.now() * 1e6) : "unknown");

export function stateOf(one) {
  if (one.online === true) return "online";
  return one.online === false ? "offline" : "never said that it is there";
}

export function worstOf(one) {
  return VERDICTS.find((verdict) => one[verdict]) ?? (one.online === true ? "trusted" : "unassessable");
}

// Why a verdict is what it is; where it is not what was told, that too.
export function whyOf(model) {
  if (model.why) return `${model.why} (was ${model.told})`;
  return model.reasons.map((reason) => reason.text).filter(Boolean).join("; ");
}

function notesOf(one) {
  const told = [];
  if (one.clash?.length) told.push("two gateways have this name");
  if (one.open_incidents) told.push(plural(one.open_incidents, "open incident", "open incidents"));
  if (one.open_requests) told.push(plural(one.open_requests, "request", "requests"));
  if (one.open_changes) told.push(`${plural(one.open_changes, "open change", "open changes")}${one.held_tags ? `, ${plural(one.held_tags, "tag", "tags")} held` : ""}`);
  if (one.missing) told.push(`${plural(one.missing, "message", "messages")} missing`);
  if (one.promise?.exceeded) told.push("promise of false alarms exceeded");
  if (["unsynchronised", "implausible"].includes(one.time_quality)) told.push(`its clock is ${one.time_quality}`);
  return told;
}

// Models that have one verdict for one reason are told of in one line.
function together(models) {
  const found = new Map();
  for (const model of models) {
    const why = whyOf(model);
    const key = `${model.verdict} ${why}`;
    if (!found.has(key)) found.set(key, { verdict: model.verdict, why, names: [] });
    found.get(key).names.push(model.model);
  }
  return [...found.values()];
}

function namesOf(names) {
  const shown = names.slice(0, NAMES_SHOWN);
  return names.length > NAMES_SHOWN ? `${shown.join(", ")} and ${count(names.length - NAMES_SHOWN)} more` : shown.join(", ");
}

export function gatewayRow(one) {
  const poor = one.models.filter((model) => model.verdict !== "trusted");
  const notes = notesOf(one);
  const reasons = together(poor);
  const worst = reasons.slice(0, WORST_SHOWN).map(({ verdict, why, names }) => el("li", { class: `v-${verdict}` }, symbol(verdict),
    el("span", {}, el("b", {}, namesOf(names)), ` ${VERDICT_WORDS[verdict].toLowerCase()}${why ? `: ${why}` : ""}`)));
  const left = reasons.slice(WORST_SHOWN).reduce((sum, { names }) => sum + names.length, 0);
  if (left) worst.push(el("li", {}, `and ${plural(left, "model", "models")} more`));
  return el("li", { "data-verdict": worstOf(one) },
    el("div", {}, linkTo(one), el("span", { class: one.online === true && one.heard_s <= SILENT_S ? "meta" : "meta poor" }, `${stateOf(one)}, heard ${ago(one.heard_s)}`)),
    el("div", {}, bar(one), figures(one)),
    el("div", {}, worst.length ? el("ul", { class: "worst" }, ...worst) : null, notes.length ? el("p", { class: "quiet" }, notes.join("; ")) : null));
}

export function siteRow(one) {
  const notes = [];
  if (one.silent) notes.push(`${count(one.silent)} not heard of`);
  if (one.open_incidents) notes.push(plural(one.open_incidents, "open incident", "open incidents"));
  if (one.open_changes) notes.push(plural(one.open_changes, "open change", "open changes"));
  return el("li", {},
    el("div", {}, el("a", { class: "name", href: ofSite(one.site) }, one.site), el("span", { class: "meta" }, plural(one.gateways, "gateway", "gateways"))),
    bar(one),
    el("div", {}, figures(one), notes.length ? el("p", { class: "quiet" }, notes.join("; ")) : null));
}

const row = (one, when, ...told) => el("li", {}, linkTo(one), el("span", { class: "when" }, when), el("div", {}, ...told));

export function incidentRow(one) {
  const more = [one.models.join(", "), one.conditions > 1 ? plural(one.conditions, "condition", "conditions") : ""].filter(Boolean);
  return row(one, `for ${age(one.age_s)}`, el("b", {}, `${CAUSE_WORDS[one.cause] ?? one.cause}: ${one.text}`), more.length ? el("p", { class: "quiet" }, more.join("; ")) : null);
}

export function requestRow(one) {
  return row(one, `for ${age(one.age_s)}`, el("b", {}, `${one.model}, ${one.state}: ${one.criteria.join("; ") || one.text}`),
    el("p", { class: "quiet" }, `for ${one.owner || "nobody"}; ${one.id}`));
}

export function changeRow(one) {
  const hold = { held: "held: its tags count for nothing", "would hold": "would be held" }[one.hold];
  const more = [hold, one.models.length ? `models ${one.models.join(", ")}` : "", one.needs.length ? `to be approved by ${one.needs.join(" and ")}` : "", one.id];
  return row(one, one.age_s === null ? "" : `for ${age(one.age_s)}`, el("b", { class: one.hold === "held" ? "poor" : null }, `${one.state}: ${one.text}`),
    el("p", { class: "quiet" }, more.filter(Boolean).join("; ")));
}

export function silentRow(one) {
  const state = one.online === true ? "said that it is there, then nothing more" : stateOf(one);
  return row(one, ago(one.heard_s), el("span", { class: "poor" }, state), one.of_models ? figures(one) : " · no models");
}

export function promiseRow(one) {
  const told = one.promise;
  return row(one, `${plural(told.watched_days, "day", "days")} watched`,
    el("b", { class: "poor" }, `${count(told.false)} false, promised ${told.false_alarms}`),
    el("p", { class: "quiet" }, `${plural(told.raised, "alarm", "alarms")}, ${count(told.acknowledged)} judged by a person`));
}
