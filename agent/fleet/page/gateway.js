// One gateway: its models as cards, the worst first, and all that is open.

import { el, symbol } from "./dom.js";
import { ofSite } from "./places.js";
import { ago, at, stateOf, whyOf } from "./rows.js";
import { age, CAUSE_WORDS, count, plural, VERDICT_WORDS } from "./words.js";

function card(model) {
  const owner = model.owner ? [model.owner.team, model.owner.contact].filter(Boolean).join(", ") : "";
  const hints = model.why ? [] : model.reasons.map((reason) => reason.hint).filter(Boolean);
  return el("article", { class: "model", "data-verdict": model.verdict },
    el("div", { class: "verdict" }, symbol(model.verdict), el("div", {}, el("h2", {}, model.model), el("p", { class: "big" }, VERDICT_WORDS[model.verdict]))),
    el("div", { class: "body" },
      whyOf(model) ? el("p", { class: "why" }, whyOf(model)) : null,
      ...[...new Set(hints)].map((hint) => el("p", { class: "do" }, `To do: ${hint}`)),
      el("p", { class: "since" }, model.why ? "told before" : `since ${at(model.since)}`),
      el("p", { class: "quiet" }, [model.version ? `version ${model.version}` : "", owner].filter(Boolean).join("; "))));
}

function part(title, rows) {
  return rows.length ? el("section", {}, el("h2", {}, title, el("span", { class: "count" }, ` ${count(rows.length)}`)), el("ol", { class: "rows" }, ...rows)) : null;
}

const line = (what, when, text, more) => el("li", {}, el("span", { class: "name" }, what), el("span", { class: "when" }, when), el("div", {}, el("b", {}, text), more ? el("p", { class: "quiet" }, more) : null));

function facts(one) {
  const lost = [...Object.entries(one.missing_count).map(([name, n]) => `${count(n)} ${name} missing`), ...Object.entries(one.dropped).map(([why, n]) => `${count(n)} ${why}`)];
  const told = one.promise;
  const rows = {
    State: `${stateOf(one)}${one.reason ? `: ${one.reason}` : ""}${one.since ? `, since ${at(one.since)} by its clock` : ""}`,
    Heard: ago(one.heard_s),
    Clock: one.time_quality || "unknown",
    Promise: told ? `${told.exceeded ? "exceeded" : "kept"}: ${count(told.false)} false in ${plural(told.watched_days, "day", "days")}, promised ${told.false_alarms}` : "not told",
    Contract: one.contract ? `${one.contract.hash.slice(0, 12) || "unreadable"}, ${plural(one.contract.open_changes, "open change", "open changes")}, ${plural(one.contract.held_tags, "tag", "tags")} held` : "none",
    Lost: lost.join(", ") || "nothing",
    Version: one.version,
    Store: one.clash.length ? `${one.clash.join(" and ")} have this one name` : one.store,
  };
  return el("dl", { class: "facts" }, ...Object.entries(rows).map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text))));
}

export function gatewayPage(one) {
  const changes = one.contract?.changes ?? [];
  return [
    el("section", {},
      el("p", { class: "back" }, el("a", { href: ofSite(one.site) }, `All of ${one.site}`)),
      el("h1", { id: "one-title", tabindex: "-1" }, `${one.site} / ${one.gateway}`),
      one.models.length ? el("div", { class: "models" }, ...one.models.map(card)) : el("p", { class: "quiet" }, "It has told of no model.")),
    part("Open incidents", one.incidents.map((each) => line(CAUSE_WORDS[each.cause] ?? each.cause, `since ${at(each.since)}`, each.text, each.models.join(", ")))),
    part("Retraining asked for", one.retraining.map((each) => line(each.model, `for ${age(each.age_s)}`, `${each.state}: ${each.criteria.join("; ") || each.text}`, `for ${each.owner || "nobody"}; ${each.id}`))),
    part("Open changes upstream", changes.map((each) => line(each.source, each.age_s === null ? "" : `for ${age(each.age_s)}`, each.text, [each.hold, each.id].join("; ")))),
    part("Errors that grew", one.errors.map((each) => line(each.model, each.output, each.raised ? "its errors grew" : each.not_assessed, ""))),
    el("section", {}, el("h2", {}, "Gateway"), facts(one)),
  ].filter(Boolean);
}
