// Polls the agent and paints. One fetch at a time; when the agent does not answer, the page says so
// at once, greys out what it knew, and lets verdicts run out by the page's own monotonic clock.

import { Acting } from "./acting.js";
import { Contract } from "./contract.js";
import { byId, el, setText } from "./dom.js";
import { Incidents } from "./incidents.js";
import { Retraining } from "./retraining.js";
import { Models } from "./models.js";
import { ModelPage } from "./model_page.js";
import { Agent, degraded, Sources } from "./plant.js";
import { Review } from "./review.js";
import { modelAt } from "./route.js";
import { Tags } from "./tags.js";
import { age, eventText, inZone, iso, moment, zone } from "./words.js";

const POLL_MS = 1500;
const HIDDEN_POLL_MS = 15000;
const TIMEOUT_MS = 5000;
const AWAY_MS = 5000; // one lost answer is no news, five silent seconds are
const STALLED_S = 10; // the same as FRESH_NS in agent/status/view.py
const HISTORY_EVERY = 10; // polls; recent values are most of the bytes and change little

const tags = new Tags();
const showTag = (name) => {
  if (modelAt(location.hash) !== null) history.pushState(null, "", "#tags-heading");
  arrive();
  tags.find(name);
};
const models = new Models(showTag);
const acting = new Acting(() => poll());
const one = new ModelPage(showTag, acting);
const retraining = new Retraining();
const incidents = new Incidents(showTag, acting);
new Review(acting);
const contract = new Contract(showTag, acting);
const sources = new Sources();
const agent = new Agent();

let status = null;
let servedNs = 0; // engine time of the newest answer,
let heardAt = performance.now(); // and when it came, on this page's clock
let trouble = "";
let polls = 0;
let polling = false;
let timer = 0;

// Engine time now. Taken from the agent, not from this computer, whose clock may be wrong.
const nowNs = () => servedNs + (performance.now() - heardAt) * 1e6;

async function poll() {
  if (polling) return;
  polling = true;
  clearTimeout(timer);
  const history = !status || document.hidden || polls % HISTORY_EVERY === 0;
  polls += 1;
  try {
    const answer = await fetch(`/api/v1/status?history=${history}`, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!answer.ok) {
      const problem = await answer.json().catch(() => ({}));
      throw new Error(problem.detail || `the agent answered ${answer.status}`);
    }
    const document_ = await answer.json();
    status = document_;
    servedNs = document_.served_ns;
    heardAt = performance.now();
    trouble = "";
    paint();
  } catch (error) {
    trouble = error instanceof TypeError || error.name === "TimeoutError" ? "the agent does not answer" : error.message;
    contact();
  }
  polling = false;
  timer = setTimeout(poll, document.hidden ? HIDDEN_POLL_MS : POLL_MS);
}

function paint() {
  const now = nowNs();
  byId("main").setAttribute("aria-busy", "false");
  setText(byId("where"), `${status.site} / ${status.gateway}`);
  tags.update(status, now);
  incidents.update(status, now);
  retraining.update(status, now);
  contract.update(status, now);
  sources.update(status, now);
  agent.update(status, now);
  paintModels(now);
  contact();
}

function paintModels(now) {
  const headline = models.update(status, now);
  setText(byId("headline"), headline.text);
  const away = document.body.classList.contains("away");
  const title = one.update(status, now) ?? headline.title;
  document.title = `${away ? "✕ no contact" : title} · ${status.gateway}`;
}

// Shows what the address names: a model's own page, or a place of the overview.
function arrive() {
  const name = modelAt(location.hash);
  if (name === one.name) return false;
  const first = one.name === undefined;
  byId("overview").hidden = name !== null;
  byId("one").hidden = name === null;
  byId("skip").hidden = name !== null;
  one.open(name);
  if (status) paintModels(nowNs());
  if (!first) go(name);
  return true;
}

// Where somebody goes to, the keyboard and the screen reader go too.
function go(name) {
  const target = document.getElementById(name === null ? location.hash.slice(1) : "one-title");
  if (name !== null || !target) window.scrollTo(0, 0);
  else target.scrollIntoView();
  target?.focus({ preventScroll: true });
}

// Every second, whether or not the agent answers: ages grow and verdicts run out.
function tick() {
  contact();
  if (!status) return;
  const now = nowNs();
  paintModels(now);
  tags.tick(now);
  if (trouble) {
    incidents.update(status, now);
    sources.update(status, now);
    agent.update(status, now);
  }
}

function contact() {
  const silentMs = performance.now() - heardAt;
  const stalledS = status ? (nowNs() - status.time_ns) / 1e9 : 0;
  const away = Boolean(trouble) && (!status || silentMs > AWAY_MS);
  const stalled = Boolean(status) && !away && stalledS > STALLED_S;
  document.body.classList.toggle("away", away || stalled);
  const poor = status && !away && !stalled ? degraded(status) : "";
  const alert = byId("alert");
  alert.hidden = !away && !stalled && !poor;
  alert.classList.toggle("poor", Boolean(poor));
  if (poor) say(alert, ["The agent is degraded", poor]);
  else if (away) say(alert, awayText(silentMs));
  else if (stalled) say(alert, [`The agent has stood still for ${age(stalledS)}`, stalledText(status.trouble ?? {})]);
  setText(byId("contact"), away ? "no contact" : trouble ? "reconnecting" : stalled ? "standing still" : status ? `live · ${moment(servedNs, servedNs)} ${zone(servedNs)}` : "connecting");
}

function stalledText({ text, hint }) {
  if (!text) return "Its web page answers, but intake, engine or store makes no progress. What follows is old. See its log: journalctl -u fieldwarden";
  return `${text}. To do: ${hint || "see its log: journalctl -u fieldwarden"}. What follows is old.`;
}

function awayText(silentMs) {
  if (!status) return ["No contact with the agent", `${trouble}. Trying again.`];
  const since = moment(servedNs, nowNs());
  return [`No contact with the agent since ${since} (${age(silentMs / 1000)})`, `${trouble}. What follows is the last known state and may be wrong; no verdict is valid. Look at the gateway: systemctl status fieldwarden`];
}

function say(alert, [title, text]) {
  if (!alert.firstChild) alert.append(el("b"), el("span"));
  setText(alert.firstChild, title);
  setText(alert.lastChild, text.charAt(0).toUpperCase() + text.slice(1));
}

async function showEvents() {
  if (!byId("events-box").open) return;
  try {
    const answer = await fetch("/api/v1/events?limit=50", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    const { events } = await answer.json();
    byId("events").replaceChildren(...events.map((event) => el("li", {},
      el("time", { datetime: iso(event.time_ns) }, moment(event.time_ns, nowNs())), " ",
      el("b", {}, event.kind), " ", el("span", {}, inZone(eventText(event), nowNs())))));
  } catch {
    byId("events").replaceChildren(el("li", {}, "The events could not be had."));
  }
  setTimeout(showEvents, 5000);
}

byId("events-box").addEventListener("toggle", showEvents);
window.addEventListener("hashchange", arrive);
window.addEventListener("popstate", arrive);
arrive();
poll();
setInterval(tick, 1000);
