// Acting on conditions in a person's name. The token is entered once and kept in this tab's session
// storage only: it goes to this agent in a header, and nowhere else.

import { byId, el, setText } from "./dom.js";

const KEY = "fieldwarden.token";
const TIMEOUT_MS = 15000; // a command is answered once it is committed
const SHELVE_NS = 8 * 3600 * 1e9;
const ACTS = [
  ["acknowledge", "Acknowledge", {}, "acknowledged", () => true],
  ["acknowledge", "False alarm", { false: true }, "acknowledged as false", () => true],
  ["shelve", "Shelve for 8 h", { for_ns: SHELVE_NS }, "shelved for 8 h", (c) => c.state !== "cleared" && !c.shelved],
  ["unshelve", "Unshelve", {}, "no longer shelved", (c) => Boolean(c.shelved)],
];

export class Acting {
  // `changed` is called once something was done, so that the page shows it at once.
  constructor(changed) {
    this.changed = changed;
    this.said = byId("act-said");
    this.token = sessionStorage.getItem(KEY) ?? "";
    byId("sign-in").addEventListener("submit", (event) => {
      event.preventDefault();
      this.signIn(byId("token").value.trim());
      byId("token").value = "";
    });
    byId("sign-out").addEventListener("click", () => this.signOut("Signed out."));
    if (this.token) this.signIn(this.token);
  }

  async signIn(token) {
    this.at(byId("sign-in"));
    if (!/^[\x21-\x7e]+$/.test(token)) {
      this.say("A token has letters, digits and signs only.");
      return;
    }
    this.token = token;
    const { status, person, problem } = await this.ask("GET", "/api/v1/person");
    if (person) {
      sessionStorage.setItem(KEY, token);
      setText(byId("person"), `You act as ${person}.`);
      this.show(true);
      this.say("");
    } else if (status) this.signOut(problem);
    else this.say(problem);
  }

  signOut(why) {
    this.token = "";
    sessionStorage.removeItem(KEY);
    this.show(false);
    this.say(why);
  }

  show(known) {
    document.body.classList.toggle("acting", known);
    byId("sign-in").hidden = known;
    byId("signed-in").hidden = !known;
  }

  // The buttons of some conditions: of one, or of all of an incident, which `name` names. The page's
  // style shows them while somebody is signed in. `show` takes what the conditions are now, and hides
  // the buttons that make no sense for any of them.
  buttons(name) {
    let conditions = [];
    const reason = el("input", { type: "text", maxlength: "500", placeholder: "why: it stands in the account", "aria-label": `Reason: ${name}`, required: "" });
    const buttons = ACTS.map(([kind, label, more, done, fits]) => {
      const button = el("button", { type: "button", "aria-label": `${label}: ${name}` }, label);
      button.addEventListener("click", () => {
        this.at(button);
        if (!reason.value.trim()) {
          this.say("Say why first: it stands in the account, in your name.");
          reason.focus();
          return;
        }
        const meant = conditions.filter(fits);
        const orders = meant.map((c) => ({ subject: c.id, note: reason.value.trim(), ...more }));
        const said = meant.length === 1 ? meant[0].subject : `${meant.length} conditions`;
        this.act(buttons, kind, orders, `${said} ${done}`);
      });
      return button;
    });
    const show = (now) => {
      conditions = now;
      ACTS.forEach(([, label, , , fits], place) => {
        const meant = now.filter(fits).length;
        buttons[place].hidden = !meant;
        setText(buttons[place], now.length > 1 ? `${label} (${meant})` : label);
      });
    };
    return { root: el("p", { class: "acts" }, ...buttons, reason), show };
  }

  // Several at once, for an incident has several conditions; what went wrong first is said.
  async act(buttons, kind, orders, done) {
    for (const button of buttons) button.disabled = true;
    this.say("One moment …");
    const answers = await Promise.all(orders.map((data) => this.ask("POST", `/api/v1/commands/${kind}`, data)));
    for (const button of buttons) button.disabled = false;
    const { status, problem } = answers.find((answer) => answer.problem) ?? {};
    if (status === 401) this.signOut(problem);
    else this.say(problem ?? `${done}.`);
    if (answers.some((answer) => !answer.problem)) this.changed();
  }

  async ask(method, path, data) {
    const options = { method, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS), headers: { Authorization: `Bearer ${this.token}` } };
    if (data) options.body = typeof data === "string" ? data : JSON.stringify(data);
    try {
      const answer = await fetch(path, options);
      const body = await answer.json();
      if (answer.ok) return { status: answer.status, ...body };
      return { status: answer.status, problem: body.hint ? `${body.detail} (${body.hint})` : body.detail };
    } catch {
      return { status: 0, problem: "The agent did not answer. Look again before you repeat it." };
    }
  }

  // What is said from now on is said in the section that an element is in.
  at(element) {
    this.said = element.closest("section")?.querySelector(".act-said") ?? byId("act-said");
  }

  say(text) {
    setText(this.said, text);
  }
}
