// The tag table. Up to thousands of rows: a row is built once, and only rows on the screen are
// repainted; the others wait until they are scrolled to.

import { broken, byId, el, setAttr, setText, svg } from "./dom.js";
import { age, count, iso, plural, qualityRank, qualityText, ROLE_WORDS, value } from "./words.js";

const COLUMNS = [
  { id: "name", title: "Tag", by: (a, b) => a.name.localeCompare(b.name) },
  { id: "value", title: "Value", by: (a, b) => (a.value ?? Infinity) - (b.value ?? Infinity) },
  { id: "trend", title: "Recent", by: null },
  { id: "age", title: "Age", by: (a, b) => (a.arrival_ns ?? 0) - (b.arrival_ns ?? 0) },
  { id: "quality", title: "Quality", by: (a, b) => qualityRank(a) - qualityRank(b) },
  { id: "source", title: "Source", by: (a, b) => a.source.localeCompare(b.source) },
  { id: "role", title: "Role", by: (a, b) => a.role.localeCompare(b.role) },
];
const RANKS = ["bad", "none", "uncertain", "good"];
const WIDTH = 96;
const HEIGHT = 22;

export class Tags {
  constructor() {
    this.rows = new Map();
    this.nowNs = 0;
    this.column = COLUMNS.find((column) => column.id === "quality");
    this.descending = false;
    this.body = byId("tags-body");
    this.sight = new IntersectionObserver((entries) => this.sighted(entries), { rootMargin: "300px" });
    this.buildHead();
    this.buildOrder();
    for (const id of ["find", "of-source", "of-role", "only-poor"]) byId(id).addEventListener("input", () => this.filter());
    window.addEventListener("beforeprint", () => { for (const row of this.rows.values()) this.paint(row); });
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
  }

  buildHead() {
    for (const column of COLUMNS) {
      column.head = el("th", { role: "columnheader", scope: "col", class: `c-${column.id}` });
      if (column.by) {
        const button = el("button", { type: "button" }, column.title);
        button.addEventListener("click", () => this.sortBy(column, column === this.column && !this.descending));
        column.head.append(button);
      } else column.head.append(column.title);
      byId("tags-head").append(column.head);
    }
    this.markHead();
  }

  buildOrder() {
    const order = byId("order");
    for (const column of COLUMNS.filter((c) => c.by)) order.append(el("option", { value: column.id }, column.title.toLowerCase()));
    order.value = this.column.id;
    order.addEventListener("input", () => this.sortBy(COLUMNS.find((c) => c.id === order.value), false));
  }

  markHead() {
    for (const column of COLUMNS.filter((c) => c.by)) {
      setAttr(column.head, "aria-sort", column !== this.column ? "none" : this.descending ? "descending" : "ascending");
    }
  }

  sortBy(column, descending) {
    this.column = column;
    this.descending = descending;
    byId("order").value = column.id;
    this.markHead();
    this.sort();
  }

  // Fills find, clears the other filters and goes there: from a reason or condition to its tag.
  find(name) {
    byId("find").value = name;
    byId("of-source").value = "";
    byId("of-role").value = "";
    byId("only-poor").checked = false;
    this.filter();
    byId("tags-heading").scrollIntoView();
    byId("tags-heading").focus({ preventScroll: true });
  }

  update(status, nowNs) {
    this.nowNs = nowNs;
    const seen = new Set();
    for (const tag of status.tags) {
      seen.add(tag.name);
      let row = this.rows.get(tag.name);
      if (!row) {
        row = createRow(tag);
        this.rows.set(tag.name, row);
        this.body.append(row.root);
        this.sight.observe(row.root);
      }
      row.tag = { ...tag, history: tag.history ?? row.tag.history };
      row.fresh = false;
    }
    for (const [name, row] of this.rows) {
      if (seen.has(name)) continue;
      this.sight.unobserve(row.root);
      row.root.remove();
      this.rows.delete(name);
    }
    this.fillSources(status.sources);
    this.sort();
    this.filter();
  }

  // A second passed: only ages change.
  tick(nowNs) {
    this.nowNs = nowNs;
    for (const row of this.rows.values()) if (row.visible) setText(row.age, this.ageOf(row.tag));
  }

  ageOf(tag) {
    return tag.arrival_ns === null ? "–" : age((this.nowNs - tag.arrival_ns) / 1e9);
  }

  fillSources(sources) {
    const select = byId("of-source");
    const names = sources.map((source) => source.name).sort();
    if (names.join("\n") === this.sourceNames) return;
    this.sourceNames = names.join("\n");
    const chosen = select.value;
    select.replaceChildren(el("option", { value: "" }, "all"), ...names.map((name) => el("option", { value: name }, name)));
    select.value = names.includes(chosen) ? chosen : "";
  }

  sort() {
    const sign = this.descending ? -1 : 1;
    const rows = [...this.rows.values()];
    rows.sort((a, b) => sign * this.column.by(a.tag, b.tag) || a.tag.name.localeCompare(b.tag.name));
    if (rows.every((row, place) => row === this.shown?.[place]) && rows.length === this.shown?.length) return;
    this.shown = rows;
    this.body.append(...rows.map((row) => row.root));
  }

  filter() {
    const words = byId("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const source = byId("of-source").value;
    const role = byId("of-role").value;
    const onlyPoor = byId("only-poor").checked;
    let fitting = 0;
    let poor = 0;
    for (const row of this.rows.values()) {
      const tag = row.tag;
      const isPoor = qualityRank(tag) < 3;
      poor += isPoor;
      const fits = (!onlyPoor || isPoor) && (!source || tag.source === source) && (!role || tag.role === role)
        && words.every((word) => row.text.includes(word));
      fitting += fits;
      if (row.root.hidden === fits) row.root.hidden = !fits;
      if (row.visible && fits) this.paint(row);
    }
    const shown = fitting === this.rows.size ? "" : `, ${count(fitting)} shown`;
    setText(byId("tags-count"), `${plural(this.rows.size, "tag", "tags")}, ${poor ? `${count(poor)} with trouble` : "all good"}${shown}`);
    byId("tags-none").hidden = fitting > 0;
  }

  sighted(entries) {
    for (const entry of entries) {
      const row = this.rows.get(entry.target.dataset.name);
      if (!row) continue;
      row.visible = entry.isIntersecting;
      if (row.visible) this.paint(row);
    }
  }

  paint(row) {
    setText(row.age, this.ageOf(row.tag));
    if (row.fresh) return;
    row.fresh = true;
    const tag = row.tag;
    setText(row.value, value(tag.value));
    setText(row.quality, qualityText(tag));
    setAttr(row.root, "data-quality", RANKS[qualityRank(tag)]);
    setAttr(row.age, "title", iso(tag.arrival_ns));
    const path = sparkline(tag.history ?? []);
    if (row.path.getAttribute("d") !== path) row.path.setAttribute("d", path);
  }
}

function createRow(tag) {
  const cell = (id, ...children) => el("td", { role: "cell", class: `c-${id}` }, ...children);
  const row = { tag, text: `${tag.name} ${tag.source} ${tag.unit}`.toLowerCase(), visible: true, fresh: false }; // until the browser says otherwise
  row.value = el("span");
  row.age = el("span");
  row.quality = el("span", { class: "q" });
  row.path = svg("path", { d: "" });
  row.root = el("tr", { role: "row", "data-name": tag.name },
    el("th", { role: "rowheader", scope: "row", class: "c-name" }, ...broken(tag.name)),
    cell("value", row.value, " ", el("span", { class: "unit" }, tag.unit)),
    cell("trend", svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" }, row.path)),
    cell("age", row.age),
    cell("quality", row.quality),
    cell("source", tag.source),
    cell("role", ROLE_WORDS[tag.role] ?? tag.role));
  return row;
}

// One path; a missing value lifts the pen, a constant is a line in the middle.
export function sparkline(history) {
  const known = history.filter((v) => Number.isFinite(v));
  if (known.length < 2) return "";
  const low = Math.min(...known);
  const span = Math.max(...known) - low;
  const step = (WIDTH - 4) / (history.length - 1);
  let path = "";
  let pen = "M";
  history.forEach((v, i) => {
    if (!Number.isFinite(v)) {
      pen = "M";
      return;
    }
    const y = span > 0 ? HEIGHT - 3 - ((v - low) / span) * (HEIGHT - 6) : HEIGHT / 2;
    path += `${pen}${(2 + i * step).toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  });
  return path;
}
