// Retraining requests that wait for a person: why, since when, what to do. Decided with the command.

import { byId, el, Keyed, setText } from "./dom.js";
import { addressOf } from "./route.js";
import { count, moment } from "./words.js";

export class Retraining {
  constructor() {
    this.list = new Keyed(byId("retraining"), (one) => {
      const part = { text: el("a", { href: addressOf(one.model) }), more: el("p", { class: "quiet" }), todo: el("p", { class: "quiet" }) };
      part.root = el("li", {}, part.text, part.more, part.todo);
      return part;
    });
  }

  update(status, nowNs) {
    const waiting = (status.retraining ?? []).filter((one) => ["open", "declared", "in trial"].includes(one.state));
    byId("retraining-box").hidden = waiting.length === 0;
    setText(byId("retraining-count"), waiting.length ? count(waiting.length) : "");
    this.list.show(waiting, (one) => one.id, (part, one) => {
      setText(part.text, `${one.model}: ${one.text}`);
      const decided = (one.decisions ?? []).map((d) => `${d.state} by ${d.by}: ${d.note}`).join("; ");
      setText(part.more, `${one.id}, asked ${moment(one.opened_ns, nowNs)}, for ${one.owner}${decided ? `; ${decided}` : ""}`);
      setText(part.todo, `do: ${one.hint}`);
    });
  }
}
