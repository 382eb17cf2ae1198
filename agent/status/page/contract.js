// Changes upstream, and the lineage picture, in which what an open change reaches is marked.

import { fillChange, newChange, openOnes } from "./changes.js";
import { byId, el, Keyed, setAttr, setText, svg } from "./dom.js";
import { count, plural } from "./words.js";

const TIMEOUT_MS = 5000;

export class Contract {
  constructor(showTag, acting) {
    this.showTag = showTag;
    this.changes = new Keyed(byId("changes"), (one) => newChange(one, acting));
    this.inForce = new Keyed(byId("in-force"), (one) => newChange(one, acting));
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
    this.open = openOnes(told);
    const applied = told.filter((one) => one.state === "approved" && !one.ended_ns);
    this.changes.show(this.open, (one) => one.id, (part, one) => fillChange(part, one, nowNs, this.showTag));
    this.inForce.show(applied, (one) => one.id, (part, one) => fillChange(part, one, nowNs, this.showTag));
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
