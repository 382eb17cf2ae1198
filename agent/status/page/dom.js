// Building and updating elements. Text from the plant only ever becomes text nodes or textContent:
// a tag may be called "<script>", and the server forbids parsing strings as markup as well (CSP).

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, val] of Object.entries(attributes)) {
    if (val !== undefined && val !== null && val !== false) node.setAttribute(key, val === true ? "" : val);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, val] of Object.entries(attributes)) node.setAttribute(key, val);
  node.append(...children);
  return node;
}

export function symbol(id) {
  return svg("svg", { class: "symbol", "aria-hidden": "true", viewBox: "0 0 32 32" }, svg("use", { href: `#s-${id}` }));
}

export function setSymbol(node, id) {
  const use = node.firstChild;
  if (use.getAttribute("href") !== `#s-${id}`) use.setAttribute("href", `#s-${id}`);
}

// A name of the plant, which may be long: it breaks behind its dots and dashes first.
export function broken(name) {
  return name.split(/(?<=[._/-])/).flatMap((part, place) => (place ? [document.createElement("wbr"), part] : [part]));
}

// A heading with a list below it; null where there is nothing to list.
export function listed(title, texts) {
  if (!texts.length) return null;
  return el("div", {}, el("h3", {}, title), el("ul", { class: "plain" }, ...texts.map((text) => el("li", {}, text))));
}

// Writes only what changed: no needless layout, and screen readers hear a text once.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttr(node, name, val) {
  if (node.getAttribute(name) !== val) node.setAttribute(name, val);
}

// A list whose elements live as long as their key: open details, focus and selection survive.
export class Keyed {
  constructor(container, create) {
    this.container = container;
    this.create = create;
    this.parts = new Map();
  }

  show(items, key, update) {
    const seen = new Set();
    let place = this.container.firstElementChild;
    for (const item of items) {
      const id = key(item);
      if (seen.has(id)) continue;
      seen.add(id);
      let part = this.parts.get(id);
      if (!part) {
        part = this.create(item);
        this.parts.set(id, part);
      }
      if (part.root === place) place = place.nextElementSibling;
      else this.container.insertBefore(part.root, place);
      update(part, item);
    }
    for (const [id, part] of this.parts) {
      if (!seen.has(id)) {
        part.root.remove();
        this.parts.delete(id);
      }
    }
  }
}
