// Why a verdict is what it is. What is of one fault is told once, by what says most of it; all else that
// came of the fault is folded below.

import { el, Keyed, setText } from "./dom.js";
import { causeText, count, inZone, plural } from "./words.js";

const NAMES_MOST = 3;

// Groups of reasons, in the order in which the agent tells them: those of one open incident, or else of
// one tag. The first of a group is what the incident is told by, where that has the same cause.
export function grouped(reasons, { incidents, conditions }) {
  const known = new Map((conditions ?? []).map((one) => [one.id, one]));
  const of = new Map();
  const leading = new Set();
  for (const one of (incidents ?? []).filter((incident) => incident.open)) {
    leading.add(known.get(one.told_by)?.text);
    for (const id of one.conditions) if (known.get(id)?.tag) of.set(known.get(id).tag, one.id);
  }
  const groups = new Map();
  reasons.forEach((reason, place) => {
    const key = of.get(reason.tag) ?? (reason.tag || `no tag ${place}`);
    const group = groups.get(key) ?? { key, all: [] };
    if (leading.has(reason.text) && group.all[0]?.cause === reason.cause) group.all.unshift(reason);
    else group.all.push(reason);
    groups.set(key, group);
  });
  return [...groups.values()];
}

export class Reasons {
  constructor(showTag) {
    this.showTag = showTag;
    this.root = el("ul", { class: "reasons" });
    this.list = new Keyed(this.root, () => this.create());
  }

  show(reasons, status, nowNs) {
    this.list.show(grouped(reasons, status), (group) => group.key, (part, { all }) => {
      this.fill(part.head, all[0], nowNs);
      part.box.hidden = all.length < 2;
      setText(part.title, restText(all));
      part.list.show(all.slice(1).map((reason, place) => [place, reason]), ([place]) => place, (one, [, reason]) => this.fill(one, reason, nowNs));
    });
  }

  create() {
    const part = { head: this.createOne("div"), title: el("summary"), rows: el("ul", { class: "reasons" }) };
    part.list = new Keyed(part.rows, () => this.createOne("li"));
    part.box = el("details", { class: "of-fault" }, part.title, part.rows);
    part.root = el("li", {}, part.head.root, part.box);
    return part;
  }

  createOne(name) {
    const part = { why: el("p", { class: "why" }), todo: el("span"), cause: el("span", { class: "chip" }), tag: el("button", { type: "button", class: "link" }) };
    part.tag.addEventListener("click", () => this.showTag(part.named));
    part.hint = el("p", { class: "do" }, el("b", {}, "Do: "), part.todo);
    part.root = el(name, {}, part.why, part.hint, el("p", { class: "chips" }, part.cause, part.tag));
    return part;
  }

  fill(part, { text, hint, cause, kind, tag }, nowNs) {
    setText(part.why, inZone(text, nowNs));
    part.hint.hidden = !hint;
    setText(part.todo, hint ?? "");
    setText(part.cause, causeText(cause, kind));
    part.tag.hidden = !tag;
    part.named = tag;
    setText(part.tag, tag ?? "");
  }
}

// What else came of the fault, in one line.
function restText(all) {
  const names = [...new Set(all.slice(1).map((reason) => reason.tag))].filter((tag) => tag && tag !== all[0].tag);
  if (!names.length) return `more on ${all[0].tag || "it"}`;
  const more = names.length > NAMES_MOST ? ` and ${count(names.length - NAMES_MOST)} more` : "";
  return `${plural(names.length, "other tag", "other tags")} of the same fault: ${names.slice(0, NAMES_MOST).join(", ")}${more}`;
}
