// A call: who talks to whom, why it came, and what can be done with it.

import { html } from "./shared/html.js";
import { Text } from "./shared/text.js";
import { now, Time } from "./shared/time.js";
import { DestinationForm, DigitsForm } from "./forms.js";
import { actions, sentence } from "./session.js";

/** Buttons that open a form, and the form's name. */
const FORMS = { transfer: "transfer", add: "add", press: "press" };
const LIKELY_MAX = 2;

/** Why a call came: on which number, since when, from whom, and what is known of it. */
export function Facts({ about, session }) {
  const params = Object.entries(about.params);
  return html`<dl class="facts">
    ${about.number ? html`<dt>Number</dt><dd><${Text} value=${about.number} /></dd>` : null}
    ${about.since ? html`<dt>Since</dt><dd><${Time} at=${about.since} /></dd>` : null}
    ${about.fromAgent ? html`<dt>From agent</dt><dd><${Text} value=${about.fromAgent} /></dd>` : null}
    ${about.brief ? html`<dt>Brief</dt><dd><${Text} value=${about.brief} /></dd>` : null}
    ${about.ref ? html`<dt>Ref</dt><dd><${Text} value=${about.ref} /></dd>` : null}
    ${params.map(([name, value]) => html`<dt key=${name}><${Text} value=${name} /></dt><dd><${Text} value=${value} /></dd>`)}
    ${session ? null : html`<dt>Call</dt><dd class="muted">Conferral has not said more about it yet.</dd>`}
  </dl>`;
}

/** @param {{ desk: import("./desk.js").Desk, at: { call: object, session: object | null, own: [string, object] | undefined } }} props */
export function CallCard({ desk, at }) {
  const { session, own } = at;
  const about = desk.about(at);
  const isKnown = Boolean(session && own);
  const text = isKnown ? sentence(session, own, now.value) : `You are in a call with ${about.from}.`;
  const all = isKnown ? actions(session, own) : [];
  const likely = all.filter((one) => one.likely).slice(0, LIKELY_MAX);
  const rest = all.filter((one) => !likely.includes(one));
  const panel = desk.panel.value;
  const isMuted = desk.phone.isMuted.value;
  return html`<section class="card is-call" aria-label="Call">
    <h2><${Text} value=${about.from} /></h2>
    <p class="sentence" aria-live="polite"><${Text} value=${text} /></p>
    <${Facts} about=${about} session=${session} />
    <div class="buttons" role="group" aria-label="Likely next">
      ${own?.[1].status === "confirming"
        ? html`<button type="button" class="main" onClick=${() => desk.press("1", "")}>Press 1 to take the call</button>`
        : likely.map((one) => html`<${Action} key=${one.id} desk=${desk} session=${session} action=${one} isMain=${true} />`)}
    </div>
    <div class="buttons" role="group" aria-label="Phone">
      <button type="button" aria-pressed=${isMuted} onClick=${() => desk.mute()}>${isMuted ? "Unmute" : "Mute"}</button>
      <button type="button" class="danger" onClick=${() => desk.hangUp()}>Hang up</button>
      ${isKnown ? null : html`<button type="button" data-panel="press" aria-expanded=${panel === "press"} onClick=${() => desk.open(panel === "press" ? "" : "press")}>Digits…</button>`}
      ${rest.length
        ? html`<button type="button" aria-expanded=${desk.hasMore.value} onClick=${() => (desk.hasMore.value = !desk.hasMore.value)}>More</button>`
        : null}
    </div>
    ${panel === "transfer" || panel === "add" ? html`<${DestinationForm} key=${panel} desk=${desk} kind=${panel} session=${session} />` : null}
    ${panel === "press" ? html`<${DigitsForm} desk=${desk} at=${at} />` : null}
    ${desk.hasMore.value && rest.length ? html`<${More} desk=${desk} session=${session} rest=${rest} />` : null}
  </section>`;
}

function More({ desk, session, rest }) {
  const asked = rest.find((one) => one.id === desk.asked.value);
  const why = asked ? whyNot(desk, asked) : "";
  return html`<div class="more" role="group" aria-label="More">
    ${rest.map((one) => html`<${Action} key=${one.id} desk=${desk} session=${session} action=${one} />`)}
    <p class="small muted" role="status">${why ? html`<${Text} value=${`${asked.label.replace("…", "")}: ${why}.`} />` : null}</p>
  </div>`;
}

/** Why an action can't be done now; empty if it can. */
function whyNot(desk, action) {
  if (desk.isConnected.value) {
    return action.why;
  }
  return action.type === "press" ? "" : desk.lost.value.replace(/\.$/, "");
}

function Action({ desk, session, action, isMain = false }) {
  const why = whyNot(desk, action);
  const isPending = desk.commands.pending.value.has(action.id);
  const form = FORMS[action.type];
  const isOpen = form && desk.panel.value === form;
  const onClick = () => {
    if (why) {
      desk.asked.value = action.id;
      desk.hasMore.value = true;
    } else if (form) {
      desk.open(isOpen ? "" : form);
    } else if (!isPending) {
      void desk.act(session, action);
    }
  };
  return html`<button
    type="button"
    class=${`${isMain ? "main" : ""} ${action.danger ? "danger" : ""}`}
    data-panel=${form}
    title=${why || action.hint}
    aria-description=${why || action.hint}
    aria-disabled=${Boolean(why) || isPending}
    aria-expanded=${form ? isOpen : undefined}
    onClick=${onClick}
  >
    <${Text} value=${action.label} />
  </button>`;
}
