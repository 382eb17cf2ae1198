// Polls central and paints. When it does not answer, the page says so at once and greys out what it
// knew; what it shows of verdicts is then no longer valid.

import { ask, SignIn, token, troubleOf } from "./asking.js";
import { bar } from "./bars.js";
import { byId, el, setText, symbol } from "./dom.js";
import { gatewayPage } from "./gateway.js";
import { repaint } from "./hold.js";
import { Listing } from "./listing.js";
import { placeAt } from "./places.js";
import { ago, changeRow, gatewayRow, incidentRow, promiseRow, requestRow, silentRow, siteRow } from "./rows.js";
import { age, count, plural, VERDICT_WORDS, VERDICTS } from "./words.js";

const POLL_MS = 2000;
const HIDDEN_POLL_MS = 20000;
const AWAY_MS = 6000;
const WORKER_SILENT_S = 60;

let place = placeAt(location.hash);
let fleet = null;
let heardAt = performance.now();
let trouble = "";
let polling = false;
let again = false;
let timer = 0;
let target = ""; // what is to be focused once it is shown

const chosenSite = () => place.site || byId("of-site").value.trim();
const ofSite = () => ({ site: place.site });
const gateways = new Listing("gateways", {
  item: gatewayRow, size: 20, none: "No gateway fits these filters.",
  parameters: () => ({ search: byId("find").value.trim(), site: chosenSite(), only: byId("of-verdict").value, state: byId("of-state").value }),
});
const sites = new Listing("sites", { item: siteRow, size: 10, none: "No site was heard of." });
const promises = new Listing("promises", { item: promiseRow, none: "", parameters: ofSite });
const lists = [
  new Listing("incidents", { item: incidentRow, none: "None.", parameters: ofSite }),
  new Listing("requests", { item: requestRow, none: "None.", parameters: ofSite }),
  new Listing("changes", { item: changeRow, none: "None.", parameters: ofSite }),
  new Listing("silent", { item: silentRow, none: "All were heard of within 5 minutes.", parameters: ofSite }),
  promises,
];

async function poll() {
  if (polling) {
    again = true;
    return;
  }
  polling = true;
  again = false;
  clearTimeout(timer);
  try {
    await (place.gateway ? showGateway() : showFleet());
    heardAt = performance.now();
    trouble = "";
    byId("sign-in-box").hidden = true;
    byId("overview").hidden = place.gateway !== "";
    byId("one").hidden = place.gateway === "";
    byId("main").setAttribute("aria-busy", "false");
    settle();
  } catch (error) {
    if (error instanceof SignIn) askForToken(error);
    else trouble = troubleOf(error);
  }
  contact();
  polling = false;
  timer = setTimeout(poll, again ? 0 : document.hidden ? HIDDEN_POLL_MS : POLL_MS);
}

async function showGateway() {
  const { site, gateway } = place;
  const path = `/api/v1/gateways/${encodeURIComponent(site)}/${encodeURIComponent(gateway)}`;
  const told = await ask(path).catch((error) => {
    if (error.status === 404) return null;
    throw error;
  });
  if (place.gateway !== gateway || place.site !== site) return;
  setText(byId("where"), `${site} / ${gateway}`);
  const gone = el("p", { id: "one-title", tabindex: "-1" }, `No gateway ${site} / ${gateway} was ever heard of.`);
  repaint(byId("one"), told ? gatewayPage(told) : [gone]);
  document.title = `${gateway} · Fieldwarden fleet`;
}

async function showFleet() {
  const wanted = [gateways, ...(place.site ? [] : [sites]), ...lists];
  const [told, site] = await Promise.all([ask("/api/v1/fleet"), siteTold(), ...wanted.map((one) => one.show())]);
  fleet = told;
  paint(site ?? fleet);
}

// One site in the form of the fleet; null where the fleet is shown, or there is no such site.
async function siteTold() {
  if (!place.site) return null;
  const told = await ask("/api/v1/sites", { search: place.site, limit: 200 });
  return told.sites.find((one) => one.site === place.site) ?? null;
}

function paint(shown) {
  setText(byId("where"), place.site);
  byId("sites-box").hidden = place.site !== "";
  byId("of-site").parentElement.hidden = place.site !== "";
  const title = headline(shown);
  setText(byId("headline"), place.site ? `${place.site}: ${title}` : title);
  document.title = `${title} · Fieldwarden fleet`;
  byId("whole").replaceChildren(bar(shown, true));
  repaint(byId("tiles"), VERDICTS.map((verdict) => tile(verdict, shown[verdict])));
  byId("facts").replaceChildren(...glance(shown));
  const told = fleet.promise;
  setText(byId("promise"), promiseText(told));
  byId("promise").dataset.state = told.together_exceeded ? "poor" : "good";
  byId("service").replaceChildren(...fleet.workers.map(worker), ...fleet.relays.map(relay));
}

function headline(shown) {
  const poor = VERDICTS.slice(0, 3).filter((verdict) => shown[verdict]);
  if (!shown.gateways) return "No gateway was heard of yet";
  if (!shown.models) return `${plural(shown.gateways, "gateway", "gateways")}, none of which told of a model`;
  if (!poor.length) return `All ${plural(shown.models, "model", "models")} trusted`;
  return `${poor.map((verdict) => `${count(shown[verdict])} ${VERDICT_WORDS[verdict].toLowerCase()}`).join(", ")} of ${plural(shown.models, "model", "models")}`;
}

function tile(verdict, number) {
  const link = el("a", { id: `tile-${verdict}`, class: number ? "tile" : "tile none", "data-verdict": verdict, href: "#gateways-heading" }, symbol(verdict), el("span", {}, el("b", {}, count(number)), VERDICT_WORDS[verdict]));
  link.addEventListener("click", () => {
    byId("of-verdict").value = verdict;
    gateways.go(0);
  });
  return el("li", {}, link);
}

const fact = (name, text, poor = false) => el("div", { "data-state": poor ? "poor" : "good" }, el("dt", {}, name), el("dd", {}, text));

function glance(shown) {
  const told = fleet.promise;
  const exceeded = promises.total; // of the site that is shown, where one is
  return [
    fact("Gateways", `${count(shown.gateways)}${shown.sites ? ` at ${plural(shown.sites, "site", "sites")}` : ""}`),
    fact("Not heard of", `${count(shown.silent)}${shown.offline ? ` (${count(shown.offline)} offline)` : ""}`, shown.silent > 0),
    fact("Open incidents", count(shown.open_incidents)),
    fact("Requests", count(shown.open_requests)),
    fact("Open changes", `${count(shown.open_changes)}${shown.held_tags ? ` (${plural(shown.held_tags, "tag", "tags")} held)` : ""}`, shown.held_tags > 0),
    fact("False alarms", exceeded ? `too many at ${count(exceeded)}` : told.told ? "as promised" : "not told", exceeded > 0),
    fact("Missing messages", count(shown.missing), shown.missing > 0),
  ];
}

function promiseText(told) {
  if (!told.told) return "No gateway has told how its promise stands.";
  const together = `${told.together_exceeded ? "Exceeded" : "Kept"} over the fleet: ${count(told.false)} false, ${count(Math.round(told.promised))} promised, in what was watched of 30 days`;
  const each = told.exceeded ? `; exceeded at ${plural(told.exceeded, "gateway", "gateways")}, kept at ${count(told.kept)}` : `; kept at each of ${plural(told.kept, "gateway", "gateways")}`;
  const unjudged = told.raised - told.acknowledged;
  const judged = unjudged > 0 ? `${count(unjudged)} of ${plural(told.raised, "alarm", "alarms")} were judged by nobody.` : "A person judged each alarm.";
  return `${together}${each}${told.not_told ? `; ${count(told.not_told)} told nothing` : ""}. ${judged}`;
}

function worker(one) {
  const silent = one.heard_s > WORKER_SILENT_S;
  const text = `${count(one.messages)} messages, ${count(one.rows)} rows, ${count(one.duplicates)} duplicates${one.unreadable ? `, ${count(one.unreadable)} unreadable` : ""}; heard ${ago(one.heard_s)}${one.trouble ? `; ${one.trouble}` : ""}`;
  return el("div", {}, el("dt", {}, one.name), el("dd", { class: silent || one.trouble ? "poor" : null }, text));
}

function relay(one) {
  const gone = Object.entries(one.dropped).map(([why, number]) => `, ${count(number)} ${why}`).join("");
  const waits = one.waiting ? `, ${count(one.waiting)} waiting, the oldest for ${age(one.oldest_s)}` : "";
  const text = `${count(one.delivered)} delivered${waits}${gone}${one.dead ? `, ${plural(one.dead, "dead letter", "dead letters")} kept` : ""}${one.trouble ? `; ${one.trouble}` : ""}`;
  return el("div", {}, el("dt", {}, `relay ${one.name}`), el("dd", { class: one.trouble || one.dead ? "poor" : null }, text));
}

// --- contact --------------------------------------------------------------------------------------

function contact() {
  const silentMs = performance.now() - heardAt;
  const signing = !byId("sign-in-box").hidden;
  const away = Boolean(trouble) && (!fleet || silentMs > AWAY_MS);
  document.body.classList.toggle("away", away);
  const alert = byId("alert");
  alert.hidden = !away;
  if (away) {
    const text = `${trouble}. What follows is what was known last; no verdict is valid. On central: systemctl status fieldwarden-central`;
    alert.replaceChildren(el("b", {}, `No contact with central for ${age(silentMs / 1000)}`), el("span", {}, text.charAt(0).toUpperCase() + text.slice(1)));
    document.title = "✕ no contact · Fieldwarden fleet";
  }
  setText(byId("contact"), signing ? "signed out" : away ? "no contact" : trouble ? "reconnecting" : `live · ${new Date().toLocaleTimeString()}`);
}

function askForToken(error) {
  byId("sign-in-box").hidden = false;
  byId("overview").hidden = byId("one").hidden = true;
  setText(byId("signed"), token.get() ? error.message : "");
  token.drop();
  trouble = "";
}

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(byId("token").value.trim());
  byId("token").value = "";
  poll();
});

// --- where one is -----------------------------------------------------------------------------------

function arrive() {
  const within = !location.hash.startsWith("#/") && location.hash !== "";
  const found = within ? { site: place.gateway ? "" : place.site, gateway: "" } : placeAt(location.hash);
  const moved = found.site !== place.site || found.gateway !== place.gateway;
  place = found;
  if (!moved) return;
  for (const one of [gateways, sites, ...lists]) one.offset = 0;
  window.scrollTo(0, 0);
  target = within ? location.hash.slice(1) : found.gateway ? "one-title" : "headline";
  poll();
}

// Where somebody went, the keyboard and the screen reader go too, once it is there.
function settle() {
  const node = target && document.getElementById(target);
  if (!node) return;
  if (!["headline", "one-title"].includes(target)) node.scrollIntoView();
  node.focus({ preventScroll: true });
  target = "";
}

let typing = 0;
byId("filters").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => gateways.go(0), 250);
});
byId("of-site").addEventListener("input", async () => {
  const told = await ask("/api/v1/sites", { search: byId("of-site").value.trim() }).catch(() => ({ sites: [] }));
  byId("site-names").replaceChildren(...told.sites.map((one) => el("option", { value: one.site })));
});
byId("filters").addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("hashchange", arrive);
poll();
setInterval(contact, 1000);
