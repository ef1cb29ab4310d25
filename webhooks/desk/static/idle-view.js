// Between calls: call out, take a call that a colleague has parked, and see what was missed.

import { html } from "./shared/html.js";
import { listed, printable, Text } from "./shared/text.js";
import { now, span, Time } from "./shared/time.js";
import { DestinationSheet } from "./forms.js";
import { Key, Said } from "./keys.js";
import { nameOf } from "./session.js";

/** What became of a call. */
const RESULTS = { answered: "talked", missed: "missed", declined: "declined", busy: "rang while you were busy", taken: "someone else took it" };
const AWAY = "While you are away, callers go to the next agent of the number, or to its fallback. Colleagues see that you are away.";

/** @param {{ desk: import("./desk.js").Desk, isHome: boolean }} props */
export function Idle({ desk, isHome }) {
  const isReady = desk.state.value === "ready";
  const why = !desk.isConnected.value ? desk.lost.value.replace(/\.$/, "") : isReady ? "" : "go ready first, since your own phone rings first";
  const call = { place: "call", label: "Call out", why, isMain: isReady && isHome, opens: "call" };
  const parked = [...desk.parked.value.values()].map((session) => ({
    session,
    key: {
      place: `retrieve ${session.id}`,
      label: "Retrieve",
      name: `Retrieve ${printable(nameOf(session.parties?.customer?.address))}`,
      why,
      isPending: desk.commands.pending.value.has(`retrieve ${session.id}`),
      run: () => void desk.retrieve(session),
    },
  }));
  const isCalling = desk.panel.value === "call";
  return html`
    <section class="card" aria-label="Calls" tabindex="-1" data-home=${isHome || undefined}>
      ${isHome && desk.farewell.value ? html`<p class="farewell" role="status"><${Text} value=${desk.farewell.value} /></p>` : null}
      ${isReady ? null : html`<p class="small muted">${AWAY}</p>`}
      <div class="calls">
        <div class="pad">
          <div class="keys" inert=${isCalling}><${Key} desk=${desk} ...${call} /></div>
          ${isCalling ? html`<${DestinationSheet} desk=${desk} kind="call" />` : null}
        </div>
        <${Said} desk=${desk} keys=${[call, ...parked.map(({ key }) => key)]} />
      </div>
    </section>
    <${Parked} desk=${desk} parked=${parked} />
    <${Today} desk=${desk} why=${why} />
    <${Colleagues} desk=${desk} />
  `;
}

/** The agent's calls since midnight. */
function Today({ desk, why }) {
  const today = new Date(now.value).toDateString();
  const calls = desk.calls.value.filter(({ at }) => new Date(at).toDateString() === today);
  return html`<section class="card" aria-label="My calls today">
    <h3>My calls today</h3>
    ${calls.length ? null : html`<p class="small muted">No call yet.</p>`}
    <ul class="list today">
      ${calls.map(({ session, at, customer, ref, result, talk_s: talkS }) => {
        const name = nameOf(customer);
        const key = { place: `call back ${session} ${at}`, label: "Call back", name: `Call back ${printable(name)}`, why: customer ? why : "the number is unknown" };
        return html`<li key=${`${session} ${at}`}>
          <span class="grow">
            <${Text} value=${ref || name} />
            <span class="small muted block">
              <${Time} at=${at} as="clock" />${ref ? html` · <${Text} value=${name} />` : null} · ${RESULTS[result] ?? printable(result)}${talkS ? ` ${span(talkS * 1000)}` : ""}
            </span>
          </span>
          <${Key} desk=${desk} ...${key} isPending=${desk.commands.pending.value.has("call")} run=${() => void desk.callOut(customer)} />
        </li>`;
      })}
    </ul>
  </section>`;
}

/** Who could take a call now. */
function Colleagues({ desk }) {
  const names = [...desk.names.value.values()];
  const ready = names.filter(({ status }) => status === "ready").map(({ name }) => name);
  const busy = names.filter(({ status }) => status === "busy").length;
  if (!names.some(({ status }) => status)) {
    return null;
  }
  return html`<section class="card" aria-label="Colleagues">
    <h3>Colleagues who are ready</h3>
    <p>
      ${ready.length ? html`<${Text} value=${listed(ready)} />` : "None."}
      ${busy ? html`<span class="small muted">${" · "}${busy} on a call</span>` : null}
    </p>
  </section>`;
}

function Parked({ desk, parked }) {
  return html`<section class="card" aria-label="Parked calls">
    <h3>Parked</h3>
    ${parked.length || !desk.isConnected.value ? null : html`<p class="small muted">No call is parked.</p>`}
    <ul class="list">
      ${parked.map(({ session, key }) => {
        const customer = session.parties?.customer;
        return html`<li key=${session.id}>
          <span class="grow">
            <${Text} value=${nameOf(customer?.address)} />
            <span class="small muted block">
              waits for <${Time} at=${customer?.held ? customer.since : session.updated_at} as="age" />
              ${session.parked_by ? html`, parked by <${Text} value=${nameOf(session.parked_by)} />` : null}${session.ref ? html` · <${Text} value=${session.ref} />` : null}
            </span>
          </span>
          <${Key} desk=${desk} ...${key} />
        </li>`;
      })}
    </ul>
  </section>`;
}

/** Calls that the agent did not take. @param {{ missed: import("./missed.js").Missed }} props */
export function Missed({ missed }) {
  const list = (calls, title, label, kind, verb = "") =>
    calls.length
      ? html`<section class="card" aria-label=${label}>
          <h3>${title}</h3>
          <ul class="list">
            ${calls.map(
              ({ id, from, number, ref, atMs }) => html`<li key=${id}>
                <span class="grow">
                  <${Text} value=${from} />
                  <span class="small muted">
                    ${verb} <${Time} at=${atMs} as="clock" />
                    ${number ? html` on <${Text} value=${number} />` : null}${ref ? html` · <${Text} value=${ref} />` : null}
                  </span>
                </span>
                <button type="button" class="quiet" aria-label=${`Dismiss the ${kind} from ${printable(from)}`} onClick=${() => missed.dismiss(id)}>✕</button>
              </li>`,
            )}
          </ul>
        </section>`
      : null;
  return html`
    ${list(missed.calls.value, "Missed", "Missed calls", "missed call")}
    ${list(missed.busy.value, "While you were busy", "Calls while you were busy", "call", " rang at")}
  `;
}
