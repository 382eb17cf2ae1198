// Asking central: with the person's token, one request of a kind at a time, never for ever.

const TIMEOUT_MS = 8000;
const KEY = "fieldwarden-fleet-token";

export class SignIn extends Error {}

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (text) => sessionStorage.setItem(KEY, text),
  drop: () => sessionStorage.removeItem(KEY),
};

// What the API gives; `parameters` that are empty are left out.
export async function ask(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    if (value !== "" && value !== null && value !== undefined) query.append(key, value);
  }
  const text = query.toString();
  const shown = token.get();
  const headers = shown ? { Authorization: `Bearer ${shown}` } : {};
  const answer = await fetch(text ? `${path}?${text}` : path, { cache: "no-store", headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  const told = [problem.detail || `central answered ${answer.status}`, problem.hint].filter(Boolean).join(": ");
  if (answer.status === 401) throw new SignIn(told);
  throw Object.assign(new Error(told), { status: answer.status });
}

// In words, for people.
export function troubleOf(error) {
  if (error instanceof TypeError || error.name === "TimeoutError") return "central does not answer";
  return error.message;
}
