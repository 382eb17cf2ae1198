// Errors of one output against its labels: the loss now beside training, how many labels say so, and
// what is only estimated, which is marked as such.

import { el, setAttr, setText } from "./dom.js";
import { age, count, iso, moment, percent, plural, value } from "./words.js";

export function newError(one) {
  const part = {
    state: el("b"),
    facts: el("dl", { class: "figures" }),
    estimate: el("p", { class: "estimate", hidden: true }),
    remarks: el("ul", { class: "plain" }),
  };
  part.root = el("li", { class: "error" },
    el("p", { class: "line" }, el("span", { class: "name" }, one.output), part.state), part.facts, part.estimate, part.remarks);
  return part;
}

export function fillError(part, one, nowNs) {
  const [state, text] = stateOf(one);
  setAttr(part.root, "data-state", state);
  setText(part.state, text);
  fill(part.facts, figures(one, nowNs));
  const estimate = one.estimated;
  part.estimate.hidden = !estimate;
  if (estimate && !part.estimate.firstChild) {
    part.estimate.append(el("span", { class: "chip estimated" }, "estimated"), " ", el("span"));
  }
  if (estimate) {
    setText(part.estimate.lastChild, `mean loss ${value(estimate.loss)}, ${value(estimate.low)} to ${value(estimate.high)} (90 %), of the latest day, from inputs alone: no label says so`);
  }
  const remarks = one.remarks ?? [];
  if (part.told !== remarks.join("\n")) {
    part.told = remarks.join("\n");
    part.remarks.replaceChildren(...remarks.map((remark) => el("li", {}, remark)));
  }
}

// One line for a model's card: what is wrong first; empty where it has no labels.
export function errorsText(errors) {
  const told = (errors ?? []).map((one) => [stateOf(one), one]).filter(([[state]]) => state !== "quiet");
  if (!told.length) return "";
  const poor = told.filter(([[state]]) => state !== "good" && state !== "unsure").map(([[, text], one]) => (one.not_assessed && !one.raised ? text : `${one.output}: ${text}`));
  return poor.length ? `Labels: ${poor.slice(0, 3).join("; ")}${poor.length > 3 ? ` and ${poor.length - 3} more` : ""}` : `Labels: ${told.every(([[state]]) => state === "good") ? "errors as in training" : "no error that surely grew"}`;
}

function stateOf(one) {
  if (one.raised) return ["poor", "✕ errors grew"];
  if (one.not_assessed) return ["unassessed", `◆ ${one.not_assessed}`];
  if (!one.labels) return ["unassessed", "◆ no label yet"];
  if (one.expected_loss === null) return ["quiet", "not judged: training had no labels"];
  if (Number.isFinite(one.allowed_loss) && one.recent_loss > one.allowed_loss) return ["unsure", "◇ higher lately, not surely so"];
  return ["good", "● as in training"];
}

function figures(one, nowNs) {
  const rows = [];
  if (one.recent_labels) rows.push([`Mean loss (${one.loss})`, `${value(one.recent_loss)} over the latest ${plural(one.recent_labels, "label", "labels")}`]);
  rows.push(["In training", one.expected_loss === null ? "unknown: fit had no labels" : value(one.expected_loss) + allowed(one)]);
  rows.push(["Labels", one.labels ? `${count(one.labels)}, mean loss of all ${value(one.mean_loss)}` : "none was compared with a prediction"]);
  if (one.heard_ns) rows.push(["Last label", `${age((nowNs - one.heard_ns) / 1e9)} ago${one.assessed_ns ? `, of ${moment(one.assessed_ns, nowNs)}` : ""}`, iso(one.heard_ns)]);
  if (one.raised && one.not_assessed) rows.push(["Not assessed", one.not_assessed]);
  if (Number.isFinite(one.evidence)) rows.push(["Evidence", `${percent(one.evidence)} of what asks for retraining`]);
  rows.push(["Label stream", stream(one)]);
  for (const rival of one.versions ?? []) {
    rows.push([`Version ${rival.version}`, `${value(rival.mean_loss)} over ${plural(rival.labels, "label", "labels")}; in service ${value(rival.mean_loss_in_service)} on the same`]);
  }
  return rows;
}

function allowed(one) {
  return Number.isFinite(one.allowed_loss) ? `; up to ${value(one.allowed_loss)} is allowed` : "";
}

// How truth comes, and what of it could not be used.
function stream(one) {
  const parts = [one.label ? `by ${one.label}` : "by the API", `of ${plural(one.predictions ?? 0, "prediction", "predictions")}`];
  const counts = [["late", "too late"], ["unmatched", "without a prediction"], ["corrected", "corrected"], ["repeated", "repeated"], ["left_out", "left out: made on a faulty input"]];
  for (const [key, words] of counts) if (one[key]) parts.push(`${count(one[key])} ${words}`);
  return parts.join(", ");
}

// Rows of a description list; elements stay as long as their place, so that a selection survives.
function fill(list, rows) {
  while (list.children.length > rows.length) list.lastChild.remove();
  rows.forEach(([name, text, title], place) => {
    if (!list.children[place]) list.append(el("div", {}, el("dt"), el("dd")));
    const row = list.children[place];
    setText(row.firstChild, name);
    setText(row.lastChild, text);
    setAttr(row, "title", title ?? "");
  });
}
