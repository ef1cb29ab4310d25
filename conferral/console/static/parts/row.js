// One row of the list.

import { html } from "htm/preact";
import { Component } from "preact";

import { kindOf, waitOf } from "../filtering.js";
import { to } from "../route.js";
import { copy } from "../shared/copy.js";
import { Icon } from "../shared/icon.js";
import { Text, printable } from "../shared/text.js";
import { Lasts, Sentence, localTimes } from "../sentences.js";
import { Time, clock, now, toMs } from "../shared/time.js";
import { Kind, Trouble } from "./badges.js";

/** The columns: the key, by which the list can be sorted, and the heading. */
export const COLUMNS = [
  ["customer", "Customer"],
  ["number", "Number"],
  ["agent", "Agent"],
  ["with", "With"],
  ["since", "Since"],
  ["waiting", "Waiting"],
];
/** A bar of waiting time is full after this long, in milliseconds, and yellow from `LONG_MS`. */
const FULL_MS = 300_000;
export const LONG_MS = 120_000;

/**
 * A row. It rerenders only when a property changes: hundreds of rows change per second.
 *
 * `row`: as received; null if it is gone while the order is frozen. `place`: from 0. `height`: pixels. `chosen`:
 * whether keys act on it. `isOpen`: whether it is open next to the list. `isEntry`: whether the Tab key leads to it.
 */
export class Row extends Component {
  shouldComponentUpdate(next) {
    return Object.keys(next).some((name) => next[name] !== this.props[name]);
  }

  render({ row, id, place, height, chosen, isOpen, isEntry }) {
    const style = { transform: `translateY(${place * height}px)`, height: `${height}px` };
    const marks = [chosen && "is-chosen", isOpen && "is-open", row === null && "is-gone", row?.state === "ended" && "is-over"];
    return html`<div
      role="row"
      class=${["row", ...marks.filter(Boolean)].join(" ")}
      style=${style}
      aria-rowindex=${place + 2}
      aria-current=${chosen ? "true" : undefined}
      data-id=${id}
    >
      ${row === null ? html`<${Gone} id=${id} />` : html`<${Cells} row=${row} isEntry=${isEntry} />`}
    </div>`;
  }
}

function Gone({ id }) {
  return html`<div role="cell" class="cell cell-customer"><a href=${to("session", id)} tabindex="-1">call</a></div>
    <div role="cell" class="cell cell-waiting muted">no longer in this list</div>`;
}

function Cells({ row, isEntry }) {
  const isOver = row.state === "ended";
  const tabindex = isEntry ? 0 : -1;
  const title = [localTimes(row.now), row.transfer].filter(Boolean).join(". ");
  return html`
    <div role="cell" class="cell cell-customer" title=${printable(title)}>
      <${Kind} kind=${kindOf(row)} isIcon />
      <a href=${to("session", row.id)} tabindex=${tabindex}><${Text} value=${row.customer || row.title || row.id} /></a>
    </div>
    <div role="cell" class="cell cell-number"><${Text} value=${row.number} /></div>
    <div role="cell" class="cell cell-agent"><${Text} value=${row.agent} /></div>
    <div role="cell" class="cell cell-with" title=${printable(row.with)}><${Text} value=${row.with} /></div>
    <div role="cell" class="cell cell-since number" title=${`started ${clock(row.created_at)}`}>
      ${isOver ? html`<${Time} at=${row.created_at} as="clock" />, ` : null}<${Lasts} from=${row.created_at} to=${row.ended_at} />
    </div>
    <div role="cell" class="cell cell-waiting" title=${printable(localTimes(row.trouble?.words ?? ""))}>
      ${row.trouble ? html`<${Trouble} trouble=${{ ...row.trouble, words: row.trouble.label }} />` : null}
      ${isOver ? html`<${Sentence} value=${row.now} class="muted" />` : html`<${Waiting} wait=${waitOf(row)} />`}
      <button
        type="button"
        class="copy-id"
        tabindex=${tabindex}
        title="Copy the call's id"
        onClick=${() => copy(printable(row.id), "the call's id")}
      >
        <${Icon} name="copy" /><span class="unseen">Copy the call's id <${Text} value=${row.id} /></span>
      </button>
    </div>
  `;
}

/** A bar and a word; what has just begun has a short bar. */
function Waiting({ wait }) {
  const since = toMs(wait?.since);
  if (!since) {
    return null;
  }
  const waitedMs = Math.max(0, now.value - since);
  const width = `${Math.min(100, (100 * waitedMs) / FULL_MS).toFixed(1)}%`;
  return html`<span class=${waitedMs < LONG_MS ? "wait" : "wait is-long"}>
    <span class="wait-bar" aria-hidden="true"><span style=${{ width }}></span></span>
    <span>${wait.kind} <${Time} at=${wait.since} as="age" /></span>
  </span>`;
}
