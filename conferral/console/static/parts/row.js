// One row of the list.

import { html } from "htm/preact";
import { Component } from "preact";

import { to } from "../route.js";
import { Text, printable } from "../shared/text.js";
import { Lasts, Sentence, Time, localTimes } from "../shared/time.js";
import { State, Trouble } from "./badges.js";

/** The columns: a CSS key, and the heading. */
export const COLUMNS = [
  ["call", "Call"],
  ["state", "State"],
  ["what", "Now"],
  ["transfer", "Transfer"],
  ["start", "Started"],
  ["age", "Duration"],
];

/**
 * A row. It rerenders only when a property changes: hundreds of rows change per second.
 *
 * `row`: as received; null if it is gone while the order is frozen. `place`: from 0. `height`: pixels. `chosen`:
 * whether keys act on it. `isEntry`: whether the Tab key leads to it.
 */
export class Row extends Component {
  shouldComponentUpdate(next) {
    return Object.keys(next).some((name) => next[name] !== this.props[name]);
  }

  render({ row, id, place, height, chosen, isEntry }) {
    const style = { transform: `translateY(${place * height}px)`, height: `${height}px` };
    const marks = [chosen && "is-chosen", row === null && "is-gone", row?.state === "ended" && "is-over"];
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
  return html`<div role="cell" class="cell cell-call mono"><a href=${to("session", id)} tabindex="-1"><${Text} value=${id} /></a></div>
    <div role="cell" class="cell cell-what muted">no longer in this list</div>`;
}

function Cells({ row, isEntry }) {
  const isOver = row.state === "ended";
  const title = [row.trouble?.words, localTimes(row.now)].filter(Boolean).join(". ");
  return html`
    <div role="cell" class="cell cell-call">
      <a href=${to("session", row.id)} tabindex=${isEntry ? 0 : -1}><${Text} value=${row.title || row.id} /></a>
      <${Text} value=${row.id} class="mono muted" />
    </div>
    <div role="cell" class="cell cell-state">
      <${State} state=${row.state} phase=${row.phase} />
      ${isOver ? null : html`<span class="muted">for <${Time} at=${row.since} as="age" /></span>`}
    </div>
    <div role="cell" class="cell cell-what" title=${printable(title)}>
      ${row.trouble ? html`<${Trouble} trouble=${row.trouble} /> ` : null}<${Sentence} value=${row.now} class="muted" />
      ${row.held?.since ? html` <span class="muted">(${row.held.kind} for <${Time} at=${row.held.since} as="age" />)</span>` : null}
    </div>
    <div role="cell" class="cell cell-transfer" title=${printable(row.transfer)}><${Text} value=${row.transfer} /></div>
    <div role="cell" class="cell cell-start number"><${Time} at=${row.created_at} as="clock" /></div>
    <div role="cell" class="cell cell-age number"><${Lasts} from=${row.created_at} to=${row.ended_at} /></div>
  `;
}
