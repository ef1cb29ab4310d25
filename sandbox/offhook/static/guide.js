// Guide, if Conferral runs this: the five steps of a consult transfer, each with its clicks; the current step is marked.

import { html } from "htm/preact";

import { ask } from "./action.js";
import { copy } from "./shared/copy.js";
import { listed, printable, Text } from "./shared/text.js";
import { guided, hello, legs, numbers, phones } from "./store.js";

/** Phones to start with. The numbers are reserved for fiction. */
const STARTERS = [
  { address: "+14155550123", name: "customer" },
  { address: "client:alice", name: "alice, the agent" },
  { address: "client:bob", name: "bob, the target" },
];

/** The current call, its agent's and target's addresses, and whether it has reached the last step. */
let game = { sid: "", agent: "", target: "", isLast: false };

/** Picks who plays whom: connected parties, else the first suitable phones. */
function cast() {
  // Manually played phones first.
  const all = phones.value.toSorted((one, other) => one.acts - other.acts);
  const [caller] = legs.value.filter((leg) => !leg.is_incoming);
  const customer = caller?.phone ?? all.find((phone) => !isBrowser(phone));
  if (game.sid !== (caller?.sid ?? "")) {
    game = { sid: caller?.sid ?? "", agent: "", target: "", isLast: false };
  }
  const others = all.filter((phone) => phone !== customer);
  const pick = (some, known) =>
    some.find((phone) => phone.address === known) ??
    some.find((phone) => phone.legs.length) ??
    some.find(isBrowser) ??
    some[0];
  const agent = pick(others, game.agent);
  const left = others.filter((phone) => phone !== agent);
  const target = pick(left, game.target);
  // A connected phone keeps its role until the call ends.
  game.agent ||= agent?.legs.length ? agent.address : "";
  game.target ||= target?.legs.length ? target.address : "";
  return { customer, agent, target, caller };
}

const isBrowser = (phone) => phone.address.startsWith("client:");

/** Returns the next step, from 1 to 5; 6 when all is done. */
function step(target) {
  const answered = legs.value.filter((leg) => leg.status === "in-progress" && !leg.wants_keys).length;
  // Two legs per call: only an additional one is a target.
  const ofTwo = 2 * Math.max(1, legs.value.filter((leg) => !leg.is_incoming).length);
  if (legs.value.length === 0) {
    return 1;
  }
  if (legs.value.length > ofTwo) {
    game.isLast = answered > ofTwo;
    return game.isLast ? 5 : 4;
  }
  if (game.isLast && target?.legs.length) {
    return 6;
  }
  return answered >= 2 ? 3 : 2;
}

/** The steps and their prerequisites. */
export function Guide() {
  const { customer, agent, target, caller } = cast();
  const next = step(target);
  const to = target?.address ?? "client:bob";
  const players = [customer, agent, target].filter(Boolean);
  const byScript = players.filter((phone) => phone.acts);
  const Step = ({ number, children }) =>
    html`<li aria-current=${number === next ? "step" : null}>${children}</li>`;
  return html`<details
    class="guide panel"
    open=${guided.value}
    onToggle=${(event) => {
      guided.value = event.currentTarget.open;
    }}
  >
    <summary><h2 id="guide">How to use it: a consult transfer in five steps</h2></summary>
    ${
      players.length < 3 &&
      html`<p>
        This needs three phones.
        <button type="button" onClick=${setUp}>Set up customer, agent, and target</button>
        Phones also appear when they are dialed.
      </p>`
    }
    ${
      byScript.length > 0 &&
      html`<p>
        Some phones answer automatically: ${printable(listed(byScript.map((phone) => `${phone.name} ${phone.does}`)))}.
        <button type="button" onClick=${() => byHand(byScript)}>I control all phones</button>
      </p>`
    }
    <ol>
      <${Step} number=${1}>
        <b>Call in.</b> On the phone of ${who(customer, "the customer")} press <b>Call</b>${numbers.value.length
          ? ""
          : " (the account has no number yet: start the sandbox with TWILIO_NUMBER and CONFERRAL_PUBLIC_URL)"}.
        You hear it ring at the other end.
      <//>
      <${Step} number=${2}>
        <b>Answer.</b> On the phone of ${who(agent, "the agent")} press <b>Answer</b>. The two hear each other.
      <//>
      <${Step} number=${3}>
        <b>Transfer.</b> In <${Console} /> open the call, press <b>Transfer…</b>, enter
        ${" "}<${Text} class="mono" value=${to} />, and choose <b>consult</b>. The customer hears music. From a terminal:
        ${" "}<${Line} text=${order("transfer", caller, ` --to ${to} --mode consult`)} />
      <//>
      <${Step} number=${4}>
        <b>Consult.</b> On the phone of ${who(target, "the target")} press <b>Answer</b>, and a key if
        asked for one. Agent and target hear each other; the customer still hears music.
      <//>
      <${Step} number=${5}>
        <b>Complete.</b> In <${Console} /> press <b>Complete</b>. The agent is disconnected; customer and target hear
        each other. From a terminal: <${Line} text=${order("complete", caller, "")} />
      <//>
    </ol>
    <p class="muted small">Copied commands include the Redis address and run as is.</p>
    ${next === 6 && html`<p><b>Done.</b> Hang up on either phone to end the call.</p>`}
  </details>`;
}

function who(phone, role) {
  return phone ? html`<${Text} class="who" value=${phone.name} />` : role;
}

function order(name, caller, more) {
  return `${name} ${caller?.sid ?? "SESSION"}${more}`;
}

function Line({ text }) {
  const whole = `${hello.value?.command_line} ${text}`;
  // Shorter than the copied text: without paths and Redis URL.
  return html`<button type="button" class="copyable mono" title=${printable(whole)} onClick=${() => copy(whole, "the command")}>
    ${printable(`conferral ${text}`)}<span class="unseen">: copy</span>
  </button>`;
}

function Console() {
  const url = hello.value?.console_url;
  // Only http(s), which can't run a script: the URL comes from the command line.
  return url && /^https?:\/\//.test(url)
    ? html`<a href=${url} target="_blank" rel="noopener">the console</a>`
    : html`<b>the console</b> (<code>conferral console</code>)`;
}

async function setUp() {
  for (const starter of STARTERS) {
    await ask("/phones", { ...starter, by_hand: true }, "phones set up");
  }
}

async function byHand(some) {
  for (const phone of some) {
    await ask("/phones", { address: phone.address, by_hand: true }, "you control them now");
  }
}
