// Which model's own page is asked for: its address is /#/models/NAME, which survives a reload.

const MODEL = /^#\/models\/(.+)$/;

export function addressOf(name) {
  return `#/models/${encodeURIComponent(name)}`;
}

// The model that an address names; null for the overview.
export function modelAt(hash) {
  const found = MODEL.exec(hash);
  if (!found) return null;
  try {
    return decodeURIComponent(found[1]);
  } catch {
    return found[1];
  }
}
