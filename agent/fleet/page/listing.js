// A list that central gives by pages: it counts, orders and searches, the page only shows.

import { ask } from "./asking.js";
import { byId, el, setText } from "./dom.js";
import { repaint } from "./hold.js";
import { count } from "./words.js";

export class Listing {
  // name: of the API and of the elements; item: makes an element of one; none: said where there is nothing.
  constructor(name, { item, size = 10, none, parameters = () => ({}) }) {
    Object.assign(this, { name, item, size, none, parameters, offset: 0, total: null, asked: 0 });
    this.before = el("button", { type: "button" }, "Before");
    this.after = el("button", { type: "button" }, "Next");
    this.said = el("span", { role: "status" });
    byId(`${name}-pager`).append(el("div", { class: "pager" }, this.before, this.after, this.said));
    this.before.addEventListener("click", () => this.go(this.offset - this.size));
    this.after.addEventListener("click", () => this.go(this.offset + this.size));
  }

  go(offset) {
    this.offset = Math.max(0, offset);
    return this.show().catch(() => {}); // the next poll says what is wrong
  }

  async show() {
    const asked = (this.asked += 1);
    const told = await ask(`/api/v1/${this.name}`, { ...this.parameters(), offset: this.offset, limit: this.size });
    if (asked !== this.asked) return; // somebody asked for another page meanwhile
    if (this.offset && this.offset >= told.total) {
      this.offset = Math.max(0, Math.ceil(told.total / this.size) - 1) * this.size;
      await this.show();
      return;
    }
    this.total = told.total;
    this.paint(told[this.name]);
  }

  paint(items) {
    repaint(byId(this.name), items.map((one) => this.item(one)));
    setText(byId(`${this.name}-count`), count(this.total));
    const last = Math.min(this.offset + this.size, this.total);
    setText(this.said, this.total === 0 ? this.none : this.total > this.size ? `${count(this.offset + 1)} to ${count(last)} of ${count(this.total)}` : "");
    this.before.disabled = this.offset === 0;
    this.after.disabled = last >= this.total;
    this.before.hidden = this.after.hidden = this.total <= this.size;
  }
}
