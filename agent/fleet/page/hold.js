// What somebody has in hand is not painted anew: a press that has not ended, or text that is selected.

let pressed = false;
window.addEventListener("pointerdown", () => { pressed = true; });
for (const end of ["pointerup", "pointercancel", "blur"]) window.addEventListener(end, () => { pressed = false; });

export function held(node) {
  const selected = document.getSelection();
  return pressed || (selected !== null && !selected.isCollapsed && node.contains(selected.anchorNode));
}

// Paints a node's content, and leaves the keyboard where it was: at the link to the same place.
export function repaint(node, children) {
  if (held(node)) return;
  const name = (one) => one.id || one.getAttribute("href");
  const focused = node.contains(document.activeElement) ? name(document.activeElement) : null;
  node.replaceChildren(...children);
  if (focused) [...node.querySelectorAll("a, [tabindex]")].find((one) => name(one) === focused)?.focus({ preventScroll: true });
}
