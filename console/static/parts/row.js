// One row of the list.

import { html } from "htm/preact";
import { Component } from "preact";

import { to } from "../route.js";
import { Text, printable } from "../shared/text.js";
import { Time } from "../shared/time.js";
import { State, Trouble } from "./badges.js";

/** The columns: a CSS key, and the heading. */
export const COLUMNS = [
  ["state", "State"],
  ["what", "Now"],
  ["customer", "Customer"],
  ["agent", "Agent"],
  ["transfer", "Transfer"],
  ["age", "Duration"],
  ["id", "Call ID"],
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
  return html`<div role="cell" class="cell cell-what muted">no longer in this list</div>
    <div role="cell" class="cell cell-id mono"><a href=${to("session", id)} tabindex="-1"><${Text} value=${id} /></a></div>`;
}

function Cells({ row, isEntry }) {
  const what = row.state === "ended" ? `ended: ${row.end_reason}` : [row.now, row.more].filter(Boolean).join("; ");
  return html`
    <div role="cell" class="cell cell-state"><${State} state=${row.state} phase=${row.phase} /></div>
    <div role="cell" class="cell cell-what" title=${printable([row.trouble?.words, what].filter(Boolean).join(". "))}>
      ${row.trouble ? html`<${Trouble} trouble=${row.trouble} /> ` : null}<${Text} value=${what} class="muted" />
    </div>
    <div role="cell" class="cell cell-customer"><${Text} value=${row.customer} /></div>
    <div role="cell" class="cell cell-agent"><${Text} value=${row.agent} /></div>
    <div role="cell" class="cell cell-transfer" title=${printable(row.transfer)}><${Text} value=${row.transfer} /></div>
    <div role="cell" class="cell cell-age number"><${Time} at=${row.ended_at ?? row.held?.since ?? row.since} as="age" /></div>
    <div role="cell" class="cell cell-id mono">
      <a href=${to("session", row.id)} tabindex=${isEntry ? 0 : -1}><${Text} value=${row.id} /></a>
    </div>
  `;
}
