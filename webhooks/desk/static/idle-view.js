// Between calls: call out, take a parked call, see who is ready, and call back who called today.

import { html } from "./shared/html.js";
import { listed, printable, Text } from "./shared/text.js";
import { clock, now, Time, timer } from "./shared/time.js";
import { DestinationSheet } from "./forms.js";
import { Key, Said } from "./keys.js";
import { nameOf } from "./session.js";

const RESULTS = { answered: "talked", missed: "missed", declined: "declined", busy: "rang while you were busy", taken: "someone else took it" };
const AWAY = "While you are away, callers go to the next agent of the number, or to its fallback.";

export function Idle({ desk, isHome }) {
  const isReady = desk.state.value === "ready";
  const why = desk.whyNoCall.value;
  const pending = desk.commands.pending.value;
  const call = { place: "call", label: "Call out", why, isMain: isReady && isHome, opens: "call" };
  const parked = [...desk.parked.value.values()].map((session) => ({
    place: `retrieve ${session.id}`,
    label: "Retrieve",
    why,
    isPending: pending.has(`retrieve ${session.id}`),
    run: () => void desk.retrieve(session),
    ...ofParked(session),
  }));
  const today = new Date(now.value).toDateString();
  const calls = desk.calls.value
    .filter(({ at }) => new Date(at).toDateString() === today)
    .map((one) => ({
      place: `call back ${one.session} ${one.at}`,
      label: "Call back",
      why: one.customer ? why : "the number is unknown",
      isPending: pending.has("call"),
      run: () => void desk.callOut(one.customer),
      ...ofPast(one),
    }));
  const isCalling = desk.panel.value === "call";
  return html`
    <section class="card" aria-label="Calls" tabindex="-1" data-home=${isHome || undefined}>
      ${desk.state.value === "away" && html`<p class="small muted">${AWAY}</p>`}
      <div class="calls">
        <div class="pad">
          <div class="keys" inert=${isCalling}><${Key} desk=${desk} ...${call} /></div>
          ${isCalling && html`<${DestinationSheet} desk=${desk} kind="call" />`}
        </div>
        <${Said} desk=${desk} news=${desk.news.value} />
      </div>
    </section>
    <${List} desk=${desk} title="Parked" label="Parked calls" none="No call is parked." keys=${parked} />
    <${List} desk=${desk} title="My calls today" none="No call yet." keys=${calls} />
    <${Queue} callers=${[...desk.queued.value.values()]} />
    <${Colleagues} names=${[...desk.names.value.values()]} />
  `;
}

function List({ desk, title, label = title, none, keys }) {
  const draw = ({ name, shown, about, ...key }) => html`<li key=${key.place}>
    <span class="grow"><${Text} value=${shown || name} /><span class="small muted block">${about}</span></span>
    <${Key} desk=${desk} ...${key} name=${`${key.label} ${printable(name)}`} />
  </li>`;
  return html`<section class="card" aria-label=${label}>
    <h3 aria-level="2">${title}</h3>
    ${keys.length || desk.lost.value ? null : html`<p class="small muted">${none}</p>`}
    ${keys.length ? html`<ul class="list">${keys.map(draw)}</ul>` : null}
  </section>`;
}

function ofParked({ parties, updated_at: updated, parked_by: by, ref }) {
  const customer = parties?.customer;
  const about = html`
    waits for <${Time} at=${customer?.held ? customer.since : updated} as="age" />
    ${by && html`, parked by <${Text} value=${nameOf(by)} />`}${ref && html` · <${Text} value=${ref} />`}
  `;
  return { name: nameOf(customer?.address), about };
}

function ofPast({ at, customer, ref, direction, result, talk_s: talkS }) {
  const name = nameOf(customer);
  const about = html`
    ${clock(at).slice(0, 5)}${ref && html` · <${Text} value=${name} />`} · ${direction === "outbound" ? "outgoing" : "incoming"}, <span class=${`is-${result}`}>${RESULTS[result] ?? printable(result)}</span>
    ${talkS >= 1 ? ` ${timer(talkS * 1000)}` : ""}
  `;
  return { name, shown: ref, about };
}

/** Who waits for one of this agent's numbers: the first of them is offered next. */
function Queue({ callers }) {
  const since = callers.map(({ queued_since: at }) => at).sort();
  const numbers = [...new Set(callers.map(({ number }) => printable(number ?? "")))];
  return callers.length
    ? html`<section class="card" aria-label="Waiting callers">
        <h3 aria-level="2">Waiting callers</h3>
        <p>${callers.length} waiting, the first for <${Time} at=${since[0]} as="age" /><span class="small muted block">${listed(numbers)}</span></p>
      </section>`
    : null;
}

function Colleagues({ names }) {
  const ready = names.filter(({ status }) => status === "ready").map(({ name }) => name);
  const busy = names.filter(({ status }) => status === "busy").length;
  return names.some(({ status }) => status)
    ? html`<section class="card" aria-label="Colleagues">
        <h3 aria-level="2">Colleagues who are ready</h3>
        <p><${Text} value=${listed(ready) || "None."} />${busy > 0 && html`<span class="small muted">${" · "}${busy} on a call</span>`}</p>
      </section>`
    : null;
}
