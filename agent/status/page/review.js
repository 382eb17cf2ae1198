// Signing a report that a person read: the file stays in this browser; its hash goes to the agent,
// with the model and the time that the file says it is of.

import { byId } from "./dom.js";

const META = /<meta name="fieldwarden-report" content="([^"]*)">/;
const SIGNS = { "&#34;": '"', "&#39;": "'", "&lt;": "<", "&gt;": ">", "&amp;": "&" };

// What a report's file says of itself; null where it is no report. Times are whole numbers of ns,
// beyond what JavaScript counts exactly: they are taken as text, and sent as it stands.
export function aboutOf(text) {
  const head = META.exec(text.slice(0, 4096));
  const told = head ? head[1].replace(/&#34;|&#39;|&lt;|&gt;|&amp;/g, (sign) => SIGNS[sign]) : text;
  try {
    const { model } = JSON.parse(told);
    const [since, until] = ["asked_since_ns", "until_ns"].map((key) => new RegExp(`"${key}": ?(\\d+)`).exec(told)?.[1]);
    return typeof model === "string" && since && until ? { model, since, until } : null;
  } catch {
    return null;
  }
}

// The body of the command.
export function bodyOf(about, digest, reason) {
  const told = JSON.stringify({ model: about.model, report: digest, note: reason });
  return `${told.slice(0, -1)},"since_ns":${about.since},"until_ns":${about.until}}`;
}

export async function digestOf(bytes) {
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Review {
  constructor(acting) {
    this.acting = acting;
    byId("review").addEventListener("submit", (event) => {
      event.preventDefault();
      this.sign(byId("review-file").files[0], byId("review-reason").value.trim());
    });
  }

  async sign(file, reason) {
    this.acting.at(byId("review"));
    if (!file || !reason) {
      this.acting.say("Choose the report that you read, and say what you made of it.");
      return;
    }
    const bytes = await file.arrayBuffer();
    const about = aboutOf(new TextDecoder().decode(bytes));
    if (!about) {
      this.acting.say(`${file.name} is no report of this program: make one with fieldwarden report.`);
      return;
    }
    const body = bodyOf(about, await digestOf(bytes), reason);
    await this.acting.act([byId("review-sign")], "review", [body], `Report on model ${about.model} signed`);
    byId("review-reason").value = "";
  }
}
