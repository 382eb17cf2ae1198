// Changes upstream: what is different, since when, whom it touches, who decided and who still must;
// and the lineage picture, in which what an open change reaches is marked.

import { decidedOn, Decision } from "./change_acts.js";
import { byId, el, Keyed, setAttr, setText, svg } from "./dom.js";
import { age, count, iso, moment, percent, plural, value } from "./words.js";

const UNDECIDED = ["detected", "proposed", "assessed"];
const HOLD_WORDS = { held: "held", "would hold": "would be held" };
const HOW_WORDS = {
  connected: "when it connected", interval: "when it was asked", announced: "when it said so", "in band": "with a sample",
  values: "in its values", proposed: "told ahead",
};
const SHOWN_MOST = 12;
const TAGS_MOST = 6;
const TIMEOUT_MS = 5000;

// The same as is_open of agent/status/change_lines.py.
export function isOpen(one) {
  return one.state === "rejected" ? !one.ended_ns : UNDECIDED.includes(one.state) || one.state === "announced";
}

export class Contract {
  constructor(showTag, acting) {
    this.showTag = showTag;
    this.acting = acting;
    this.changes = new Keyed(byId("changes"), (one) => this.create(one));
    this.inForce = new Keyed(byId("in-force"), (one) => this.create(one));
    this.chosen = ""; // id of the change whose path alone is marked; empty: those of all open ones
    this.drawn = "";
    byId("lineage-of").addEventListener("change", (event) => {
      this.chosen = event.target.value;
      this.draw();
    });
    byId("lineage-box").addEventListener("toggle", () => this.draw());
  }

  update(status, nowNs) {
    const told = status.changes ?? [];
    this.open = told.filter(isOpen).sort((a, b) => (a.hold !== "held") - (b.hold !== "held") || a.found_ns - b.found_ns);
    const applied = told.filter((one) => one.state === "approved" && !one.ended_ns);
    this.changes.show(this.open, (one) => one.id, (part, one) => this.fill(part, one, nowNs));
    this.inForce.show(applied, (one) => one.id, (part, one) => this.fill(part, one, nowNs));
    const held = this.open.filter((one) => one.hold === "held").length;
    setText(byId("changes-count"), this.open.length ? `${plural(this.open.length, "open change", "open changes")}${held ? `, ${count(held)} held` : ""}` : "");
    byId("changes-none").hidden = this.open.length > 0;
    setText(byId("changes-none"), status.contract?.hash ? "No open change: sources serve what was agreed or approved." : "No open change.");
    byId("in-force-box").hidden = applied.length === 0;
    setText(byId("in-force-title"), `Approved (${count(applied.length)})`);
    const { hash, made, text, hint } = status.contract ?? {};
    byId("contract-hash").hidden = !hash && !text;
    setText(byId("contract-hash"), text ? `${text}${hint ? `. To do: ${hint}` : ""}` : hash ? `Contract ${hash.slice(0, 12)}${made ? `, made ${made}` : ""}` : "");
    setAttr(byId("contract-hash"), "data-state", text ? "poor" : "");
    if (this.open.length && this.opened === undefined) byId("lineage-box").open = true;
    this.opened ??= true;
    this.boot = `${status.boot} ${(status.models ?? []).map((m) => `${m.name} ${m.version}`).join()} ${(status.sources ?? []).map((s) => s.name).join()}`;
    this.offer();
    this.draw();
  }

  // --- one change -------------------------------------------------------------------------------

  create(one) {
    const part = {
      state: el("span", { class: "chip" }), hold: el("span", { class: "chip hold" }), grade: el("span", { class: "chip" }),
      name: el("b", { class: "name" }), text: el("p", { class: "why" }), hint: el("p", { class: "do" }), meta: el("p", { class: "meta" }),
      tags: el("p", { class: "chips" }), more: el("div", { class: "of-request" }), decision: new Decision(this.acting, one.id),
    };
    part.root = el("li", { class: "request change" }, el("p", { class: "chips" }, part.name, part.state, part.hold, part.grade),
      part.text, part.hint, part.meta, part.tags, part.more, part.decision.root);
    return part;
  }

  fill(part, one, nowNs) {
    setAttr(part.root, "data-hold", isOpen(one) ? one.hold : "none");
    setText(part.name, one.id);
    setText(part.state, one.state);
    part.hold.hidden = !(one.hold in HOLD_WORDS) || !isOpen(one);
    setText(part.hold, HOLD_WORDS[one.hold] ?? "");
    part.grade.hidden = !one.grade;
    setText(part.grade, one.grade ?? "");
    setText(part.text, one.text ?? "");
    part.hint.hidden = !one.hint;
    setText(part.hint, `Do: ${one.hint}`);
    const since = one.since_ns || one.found_ns;
    setText(part.meta, [`source ${one.source}`, `since ${moment(since, nowNs)} (${age((nowNs - since) / 1e9)})`, `found ${moment(one.found_ns, nowNs)} ${HOW_WORDS[one.how] ?? one.how}`,
      one.window ? `window ${moment(one.window[0], nowNs)} to ${moment(one.window[1], nowNs)}` : "",
      one.expires_ns ? `expires ${moment(one.expires_ns, nowNs)}` : "",
      one.in_force_from ? `in force from entry ${count(one.in_force_from)}` : ""].filter(Boolean).join(" · "));
    setAttr(part.meta, "title", iso(since));
    part.decision.show(one);
    const written = JSON.stringify([one.tags, one.differences, one.models, one.assessment, one.assessing, one.approvals, one.needs, one.map, one.suggested]);
    if (part.written === written) return;
    part.written = written;
    this.fillTags(part, one.tags ?? []);
    part.more.replaceChildren(...[
      listed("Differences", one.differences?.length > 1 ? most(one.differences.map((d) => `${d.text} (${d.grade})`)) : []),
      listed("Touches", (one.models ?? []).map((m) => `model ${m.name} ${m.version}, ${m.owner}`)),
      assessed(one, nowNs),
      listed("Decided", decidedOn(one, nowNs)),
      listed("Map", mapped(one)),
    ].filter(Boolean));
  }

  fillTags(part, tags) {
    part.tags.hidden = !tags.length;
    part.tags.replaceChildren(...tags.slice(0, TAGS_MOST).map((name) => {
      const button = el("button", { type: "button", class: "link" }, name);
      button.addEventListener("click", () => this.showTag(name));
      return button;
    }), tags.length > TAGS_MOST ? el("span", { class: "quiet" }, `and ${count(tags.length - TAGS_MOST)} more tags`) : "");
  }

  // --- lineage ----------------------------------------------------------------------------------

  offer() {
    const ids = this.open.map((one) => one.id);
    if (this.chosen && !ids.includes(this.chosen)) this.chosen = "";
    const written = ids.join("\n");
    if (written === this.offered) return;
    this.offered = written;
    byId("lineage-of").replaceChildren(el("option", { value: "" }, ids.length ? "all open changes" : "no change"),
      ...ids.map((id) => el("option", { value: id, selected: id === this.chosen }, id)));
  }

  // Fetched when it is looked at, and again when what it shows has changed.
  async draw() {
    if (!byId("lineage-box").open || !this.open) return;
    const shown = this.open.filter((one) => !this.chosen || one.id === this.chosen).slice(0, 100);
    const wanted = JSON.stringify([this.boot, shown.map((one) => [one.id, one.tags])]);
    if (this.drawn === wanted || this.drawing) return;
    this.drawing = true;
    try {
      const asked = shown.map((one) => `change=${encodeURIComponent(one.id)}`).join("&");
      const answer = await fetch(`/api/v1/lineage?${asked}`, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
      if (!answer.ok) throw new Error(answer.status);
      const { picture, reached } = await answer.json();
      this.drawn = wanted;
      byId("lineage").replaceChildren(drawn(picture, this.showTag));
      setText(byId("lineage-said"), reachedText(reached));
    } catch {
      setText(byId("lineage-said"), "The lineage could not be had.");
    }
    this.drawing = false;
  }
}

function reachedText({ tags, models }) {
  return tags.length ? `Marked: ${plural(tags.length, "tag", "tags")}, ${models.length ? `models ${models.join(", ")}` : "no model"}.` : "No change is open: nothing is marked.";
}

// The picture, placed by agent/contract/graph_layout.py; the file of `contract graph --svg` is the same.
export function drawn({ width, height, boxes, edges }, showTag) {
  const root = svg("svg", { class: "lineage", role: "img", "aria-label": "Sources, tags, models and outputs", viewBox: `0 0 ${width} ${height}`, width, height });
  for (const edge of edges) root.append(svg("path", { class: `edge ${edge.role.replace(" ", "-")}${edge.lit ? " lit" : ""}`, d: edge.path }));
  for (const box of boxes) {
    const lines = box.lines.map((line) => svg("text", { x: box.x + 8, y: line.y, class: line.heading ? "heading" : "line" }, line.text));
    const node = svg("g", { class: `${box.kind}${box.lit ? " lit" : ""}` }, svg("title", {}, box.names.length ? `${box.names[0]}: ${box.title}` : box.title),
      svg("rect", { class: "box", rx: 6, x: box.x, y: box.y, width: box.width, height: box.height }), ...lines);
    if (box.names.length && box.id.startsWith("tag/")) node.addEventListener("click", () => showTag(box.names[0]));
    root.append(node);
  }
  return root;
}

// --- words --------------------------------------------------------------------------------------

function most(texts) {
  return texts.length > SHOWN_MOST ? [...texts.slice(0, SHOWN_MOST), `and ${count(texts.length - SHOWN_MOST)} more`] : texts;
}

function listed(title, texts) {
  if (!texts.length) return null;
  return el("div", {}, el("h3", {}, title), el("ul", { class: "plain" }, ...texts.map((text) => el("li", {}, text))));
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
