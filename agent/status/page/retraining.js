// Retraining requests that wait for a person: why, since when, what to do. Decided with the command.

import { byId, el, Keyed, setText } from "./dom.js";
import { addressOf } from "./route.js";
import { count, inZone, moment } from "./words.js";

export function waiting(status) {
  return (status.retraining ?? []).filter((one) => ["open", "declared", "in trial"].includes(one.state));
}

export class Retraining {
  constructor() {
    this.list = new Keyed(byId("retraining"), (one) => {
      const part = { text: el("a", { href: addressOf(one.model) }), more: el("p", { class: "quiet" }), todo: el("p", { class: "quiet" }) };
      part.root = el("li", {}, part.text, part.more, part.todo);
      return part;
    });
  }

  update(status, nowNs) {
    const asked = waiting(status);
    byId("retraining-box").hidden = asked.length === 0;
    setText(byId("retraining-count"), asked.length ? count(asked.length) : "");
    this.list.show(asked, (one) => one.id, (part, one) => {
      setText(part.text, `${one.model}: ${inZone(one.text, nowNs)}`);
      const decided = (one.decisions ?? []).map((d) => `${d.state} by ${d.by}: ${d.note}`).join("; ");
      setText(part.more, `${one.id}, asked ${moment(one.opened_ns, nowNs)}, for ${one.owner}${decided ? `; ${decided}` : ""}`);
      setText(part.todo, `do: ${one.hint}`);
    });
  }
}
