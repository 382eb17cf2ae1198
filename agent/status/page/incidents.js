// Incidents: what people count. One fault is one, told by the first condition that it brought about;
// all its conditions are folded below it.

import { byId, el, Keyed, setAttr, setSymbol, setText, symbol } from "./dom.js";
import { acted, age, CAUSE_WORDS, count, duration, inZone, iso, moment, plural } from "./words.js";

const SEVERITIES = ["high", "medium", "low"];

// What people and the plant's design did to a condition: each by itself, several may be true.
const STANDINGS = [
  ["shelved", "shelved"],
  ["acknowledged", "acknowledged"],
  ["suppressed", "suppressed: its source is lost"],
  ["out_of_service", "out of service"],
];

export class Incidents {
  constructor(showTag, acting) {
    this.showTag = showTag;
    this.acting = acting;
    this.open = new Keyed(byId("incidents"), () => this.create());
    this.cleared = new Keyed(byId("cleared"), () => this.create());
    this.conditions = new Map();
  }

  // The agent tells the incidents in the order in which they should be read.
  update(status, nowNs) {
    this.conditions = new Map(status.conditions.map((c) => [c.id, c]));
    const open = status.incidents.filter((one) => one.open);
    const cleared = status.incidents.filter((one) => !one.open);
    const key = (one) => one.id;
    this.open.show(open, key, (part, one) => this.fill(part, one, nowNs));
    this.cleared.show(cleared, key, (part, one) => this.fill(part, one, nowNs));
    const conditions = open.reduce((sum, one) => sum + one.open, 0);
    const of = conditions > open.length ? `, of ${plural(conditions, "condition", "conditions")}` : "";
    setText(byId("incidents-count"), open.length ? `${count(open.length)}${of}` : "");
    byId("incidents-none").hidden = open.length > 0;
    byId("cleared-box").hidden = cleared.length === 0;
    setText(byId("cleared-title"), `Cleared, not acknowledged (${count(cleared.length)})`);
  }

  create() {
    const part = { first: this.createCondition(), title: el("summary"), rows: el("ol", { class: "members" }) };
    part.members = new Keyed(part.rows, () => this.createCondition());
    part.box = el("details", { class: "of-incident" }, part.title, part.rows);
    part.root = part.first.root;
    part.root.classList.add("incident");
    part.first.body.append(part.box);
    return part;
  }

  fill(part, incident, nowNs) {
    const members = incident.conditions.map((id) => this.conditions.get(id)).filter(Boolean);
    const first = members.find((c) => c.id === incident.told_by);
    if (!first) return;
    const several = members.length > 1;
    this.fillCondition(part.first, first, nowNs, { ...incident, members });
    part.box.hidden = !several;
    if (!several) return;
    const over = members.length - incident.open;
    const cleared = over && incident.open ? `, ${count(over)} cleared` : "";
    setText(part.title, `${plural(members.length, "condition", "conditions")} of one fault${cleared}`);
    part.members.show(members, (c) => c.id, (one, c) => this.fillCondition(one, c, nowNs, { ...c, models: [], members: [c] }));
  }

  createCondition() {
    const part = {
      symbol: symbol("low"),
      severity: el("span", { class: "severity" }),
      text: el("p", { class: "why" }),
      hint: el("p", { class: "do" }),
      meta: el("span", { class: "meta" }),
      chip: el("span", { class: "chip" }),
      place: el("span", {}),
      acts: null,
    };
    part.body = el("div", {}, part.text, part.hint, el("p", { class: "chips" }, part.chip, part.place, part.meta));
    part.root = el("li", { class: "condition" }, el("div", { class: "mark" }, part.symbol, part.severity), part.body);
    return part;
  }

  // `whole` is what the condition stands for: itself, or all `members` of its incident.
  fillCondition(part, c, nowNs, whole) {
    setAttr(part.root, "data-severity", whole.severity);
    setAttr(part.root, "data-state", whole.state);
    setSymbol(part.symbol, SEVERITIES.includes(whole.severity) ? whole.severity : "low");
    setText(part.severity, whole.severity);
    setText(part.text, inZone(c.text, nowNs));
    part.hint.hidden = !c.hint;
    if (c.hint) setText(part.hint, `Do: ${c.hint}`);
    setText(part.chip, CAUSE_WORDS[c.cause] ?? c.cause);
    this.fillPlace(part, c);
    const models = whole.models.length ? [`${whole.models.length > 1 ? "models" : "model"} ${whole.models.join(", ")}`] : [];
    setText(part.meta, [c.kind, ...models, ...when(c, whole, nowNs)].join(" · "));
    setAttr(part.meta, "title", iso(c.raised_ns));
    if (!part.acts) {
      part.acts = this.acting.buttons(c.subject ?? c.id);
      part.body.insertBefore(part.acts.root, part.body.children[3] ?? null);
    }
    part.acts.show(whole.members);
  }

  fillPlace(part, c) {
    const written = c.tag || c.source || c.model || "";
    if (part.written === written) return;
    part.written = written;
    const button = c.tag ? el("button", { type: "button", class: "link" }, c.tag) : el("span", { class: "meta" }, written);
    if (c.tag) button.addEventListener("click", () => this.showTag(c.tag));
    part.place.replaceChildren(button);
  }
}

function when(c, whole, nowNs) {
  if (whole.state === "cleared") return [`from ${moment(c.raised_ns, nowNs)}, for ${duration((c.cleared_ns - c.raised_ns) / 1e9)}`];
  if (c.state === "cleared") return ["cleared"];
  const acts = c.acts ?? [];
  const told = new Set(acts.map((act) => act.what.replaceAll(" ", "_")));
  const standing = STANDINGS.filter(([field]) => c[field] && !told.has(field)).map(([, words]) => words);
  standing.push(...acts.map((act) => acted(act, nowNs)));
  return [...standing, `since ${moment(c.raised_ns, nowNs)} (${age((nowNs - c.raised_ns) / 1e9)})`];
}
