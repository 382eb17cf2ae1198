// Deciding on a change in a person's name: approve, with what the edge does to each tag so that models
// see what they were trained on; reject; take back what is in force. A reason is needed for each.

import { el, setText } from "./dom.js";
import { moment } from "./words.js";

const TAGS_MOST = 12; // rows of the form; more than that are told with a file on the gateway
const FIELDS = [["factor", "Factor", "1"], ["offset", "Offset", "0"], ["unit", "Unit now", ""]];
const MAP_WORDS = "Map: agreed value = served value × factor + offset; or the unit that is served now";

// Who approved what and when, and who is still needed.
export function decidedOn({ approvals, needs }, nowNs) {
  const told = (approvals ?? []).map((one) => `${one.side}: approved by ${one.by}, ${moment(one.at_ns, nowNs)}${one.note ? `: ${one.note}` : ""}`);
  return needs?.length ? [...told, `still needed: ${needs.join(" and ")}`] : told;
}

// The map that is known for a change: what was approved, what explains the values, or the units that are told.
export function knownMap({ map, suggested, differences }) {
  const units = (differences ?? []).filter((d) => d.term === "served unit" && d.now && d.subject.startsWith("tag/"));
  return map ?? suggested ?? Object.fromEntries(units.map((d) => [d.subject.slice(4), { unit: String(d.now) }]));
}

// What the rows of the form say: tag -> map; null where they say nothing. Throws what is no number.
export function mapOf(rows) {
  const found = {};
  for (const { tag, factor, offset, unit } of rows) {
    const part = {};
    for (const [key, text] of [["factor", factor], ["offset", offset]]) {
      if (!text.trim()) continue;
      const number = Number(text.trim().replace(",", "."));
      if (!Number.isFinite(number) || (key === "factor" && number === 0)) throw new Error(`${tag}: the ${key} ${text} is no number that can be used`);
      part[key] = number;
    }
    if (unit.trim()) part.unit = unit.trim();
    if (Object.keys(part).length) found[tag] = part;
  }
  return Object.keys(found).length ? found : null;
}

// Parts of a map that the form has no field for, such as an address.
function others(part) {
  return Object.fromEntries(Object.entries(part).filter(([key]) => !FIELDS.some(([name]) => name === key)));
}

export class Decision {
  constructor(acting, id) {
    this.acting = acting;
    this.id = id;
    this.rows = [];
    this.reason = el("input", { type: "text", maxlength: "500", placeholder: "why: it stands in the account", "aria-label": `Reason: ${id}`, required: "" });
    this.form = el("div", { class: "map" });
    this.form.addEventListener("input", () => this.label());
    this.box = el("details", { class: "map-box" }, el("summary", {}, MAP_WORDS), this.form);
    this.approve = this.button("Approve", () => this.send("approve", () => this.approval(), "approved"));
    this.reject = this.button("Reject", () => this.send("reject_change", () => ({}), "rejected"));
    this.revert = this.button("Take back", () => this.send("revert", () => ({}), "taken back"));
    this.root = el("div", { class: "acts" }, this.box, this.approve, this.reject, this.revert, this.reason);
  }

  button(label, act) {
    const made = el("button", { type: "button", "aria-label": `${label}: ${this.id}` }, label);
    made.addEventListener("click", act);
    return made;
  }

  show(one) {
    this.revision = one.revision; // what the person sees is what is approved
    const undecided = ["detected", "proposed", "assessed"].includes(one.state);
    this.approve.hidden = this.reject.hidden = this.box.hidden = !undecided;
    this.revert.hidden = undecided;
    const written = JSON.stringify([one.tags, knownMap(one)]);
    if (written === this.written) return;
    this.written = written;
    this.fillForm(one);
  }

  // What was typed already stays while the same tags are asked for.
  fillForm(one) {
    const given = knownMap(one);
    const typed = new Map(this.rows.map((row) => [row.tag, row]));
    const tags = (one.tags ?? []).slice(0, TAGS_MOST);
    this.rows = tags.map((tag) => typed.get(tag) ?? this.row(tag, given[tag] ?? {}));
    const more = (one.tags ?? []).length - tags.length;
    this.form.replaceChildren(...this.rows.map((row) => row.root),
      more > 0 ? el("p", { class: "quiet" }, `${more} more tags: `, el("code", {}, `fieldwarden change approve CONFIG ${this.id} --map FILE`)) : "");
    this.unseen = Object.fromEntries(Object.entries(given).filter(([tag]) => !tags.includes(tag)));
    this.box.open ||= Object.keys(given).length > 0;
    this.label();
  }

  label() {
    const filled = Object.keys(this.unseen).length || this.rows.some(({ inputs, rest }) => Object.keys(others(rest)).length || inputs.some((input) => input.value.trim()));
    setText(this.approve, filled ? "Approve with this map" : "Approve as it is");
  }

  row(tag, given) {
    const inputs = FIELDS.map(([key, label, placeholder]) => el("input", { type: "text", inputmode: key === "unit" ? "text" : "decimal", placeholder, value: given[key] === undefined ? "" : String(given[key]), "aria-label": `${label} of ${tag}`, maxlength: "40", autocomplete: "off" }));
    const root = el("div", { class: "map-row" }, el("span", { class: "name" }, tag), ...FIELDS.map(([, label], place) => el("label", {}, el("span", {}, label), inputs[place])));
    return { tag, root, inputs, rest: given };
  }

  approval() {
    const told = mapOf(this.rows.map(({ tag, inputs: [factor, offset, unit] }) => ({ tag, factor: factor.value, offset: offset.value, unit: unit.value })));
    const whole = { ...this.unseen, ...told };
    for (const { tag, rest } of this.rows) {
      if (Object.keys(others(rest)).length) whole[tag] = { ...others(rest), ...whole[tag] };
    }
    const seen = this.revision ? { revision: this.revision } : {};
    return Object.keys(whole).length ? { map: whole, ...seen } : seen;
  }

  async send(kind, more, done) {
    const note = this.reason.value.trim();
    const buttons = [this.approve, this.reject, this.revert];
    this.acting.at(this.root);
    if (!note) {
      this.acting.say("Say why first: it stands in the account, in your name.");
      this.reason.focus();
      return;
    }
    try {
      await this.acting.act(buttons, kind, [{ change: this.id, note, ...more() }], `${this.id} ${done}`);
    } catch (error) {
      this.acting.say(error.message);
    }
  }
}
