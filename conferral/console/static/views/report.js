// Report view: a day in sentences and tables; each row leads to the calls that it counts.

import { signal } from "@preact/signals";
import { html } from "htm/preact";
import { useEffect } from "preact/hooks";

import { choose, route, to } from "../route.js";
import { full, link } from "../store.js";
import { counted, Text } from "../shared/text.js";
import { Time, nowMs } from "../shared/time.js";

/** Interval of reading it again, in milliseconds: today's goes on. */
const READ_EVERY_MS = 30_000;
/** Tables whose rows have a bar: the columns that are its parts, and their kinds. */
const PARTS = {
  "not answered": "bad",
  answered: "good",
  abandoned: "bad",
  completed: "good",
  failed: "bad",
  recalled: "warn",
  cancelled: "plain",
};
const WITH_BARS = new Set(["answering", "rung", "transfers"]);

/** The report as received, with its query; and why there is none. */
const report = signal(null);
const problem = signal("");

/** A day of the reader's calendar, as ISO 8601 has it. */
const isoDay = (date) => [date.getFullYear(), date.getMonth() + 1, date.getDate()].map((part) => String(part).padStart(2, "0")).join("-");

function otherDay(day, by) {
  const date = new Date(`${day}T12:00`);
  date.setDate(date.getDate() + by);
  return isoDay(date);
}

/** The query of what is shown: a late answer to another one changes nothing. */
let wanted = "";

async function read(query) {
  let [found, why] = [null, ""];
  try {
    const response = await fetch(new URL(`./report.json?${query}`, document.baseURI));
    found = await response.json();
    why = response.ok ? "" : (found.error?.reason ?? `HTTP ${response.status}`);
  } catch (error) {
    why = error.message;
  }
  if (query === wanted) {
    problem.value = why;
    report.value = why ? report.value : { ...found, query };
  }
}

/** The view. */
export function Report() {
  const { choices } = route.value;
  const today = isoDay(new Date(nowMs()));
  const day = choices.get("day") ?? today;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
  const row = choices.get("row") ?? "";
  const query = new URLSearchParams({ day, zone, ...(full.value ? { full: "1" } : {}), ...(row ? { row } : {}) }).toString();
  useEffect(() => {
    wanted = query;
    void read(query);
    const timer = setInterval(read, READ_EVERY_MS, query);
    return () => clearInterval(timer);
  }, [query, link.value.state]);
  const found = report.value?.query === query ? report.value : null;
  const show = (next) => next && choose({ day: next === today ? "" : next, row: "" });
  return html`<div class="report">
    <div class="view-head">
      <h1>Report</h1>
      <div class="report-day">
        <button type="button" aria-label="Day before" onClick=${() => show(otherDay(day, -1))}>←</button>
        <input type="date" aria-label="Day" value=${day} max=${today} onChange=${(event) => show(event.target.value)} />
        <button type="button" aria-label="Day after" aria-disabled=${day >= today} onClick=${() => day < today && show(otherDay(day, 1))}>→</button>
      </div>
      ${["calls", "transfers"].map((rows) => html`<a key=${rows} class="button" href=${`./report.csv?${query}&rows=${rows}`} download>CSV: ${rows}</a>`)}
      ${found ? html`<p class="small muted">${found.period}</p>` : null}
    </div>
    <div role="alert">${problem.value ? html`<p class="error">The report can't be read: <${Text} value=${problem.value} />.</p>` : null}</div>
    ${found ? html`<${Content} report=${found} day=${day} row=${row} />` : html`<p class="muted">Loading…</p>`}
  </div>`;
}

function Content({ report: found, day, row }) {
  return html`
    <div class="totals">${found.totals.map((one) => html`<p key=${one}><${Text} value=${one} /></p>`)}</div>
    ${found.notes.map((one) => html`<p key=${one} class="error small">${one}</p>`)}
    ${row ? html`<${Calls} report=${found} row=${row} />` : null}
    <div class="report-tables">
      ${found.tables.map((table) => html`<${Table} key=${table.name} table=${table} day=${day} chosen=${row} />`)}
    </div>
  `;
}

/** The calls that the chosen row counts. */
function Calls({ report: { calls, calls_count: count, tables }, row }) {
  const label = tables.map(({ keys, rows }) => rows[keys.indexOf(row)]?.[0]).find(Boolean);
  return html`<section class="panel" aria-labelledby="calls-title">
    <div class="panel-head">
      <h2 id="calls-title">${counted(count, "call")}: <${Text} value=${label ?? "no longer in the report"} /></h2>
      <button type="button" onClick=${() => choose({ row: "" })}>Close</button>
    </div>
    <ul class="report-calls">
      ${calls.map(
        (one) => html`<li key=${one.session}>
          <a href=${to("session", one.session)}><${Time} at=${one.at} as="clock" /> <${Text} value=${one.customer || one.session} /></a>
        </li>`,
      )}
    </ul>
    ${count > calls.length ? html`<p class="small muted">The newest ${calls.length} of ${count}.</p>` : null}
  </section>`;
}

/** Numbers have marked columns, and a row with a key leads to its calls. */
function Table({ table, day, chosen }) {
  const { name, title, columns, rows, keys } = table;
  const widest = Math.max(1, ...rows.map((row) => sum(partsOf(columns, row))));
  return html`<section class="panel" id=${name} aria-labelledby=${`${name}-title`}>
    <h2 id=${`${name}-title`}>${title}</h2>
    <div class="scroll" tabindex="0" role="region" aria-label=${`Table: ${title}`}>
      <table>
        <thead>
          <tr>${columns.map((one) => html`<th scope="col" class=${one.startsWith(">") ? "number" : ""}>${one.replace(">", "")}</th>`)}</tr>
        </thead>
        <tbody>
          ${rows.map(
            (row, number) => html`<tr key=${keys[number] || row[0]} class=${chosen && keys[number] === chosen ? "is-chosen" : ""}>
              ${row.map((cell, place) =>
                place
                  ? html`<td data-label=${columns[place].replace(">", "")} class=${columns[place].startsWith(">") ? "number" : ""}><${Text} value=${cell} /></td>`
                  : html`<th scope="row">
                      ${keys[number]
                        ? html`<a href=${to("report", "", { day, row: keys[number] })}><${Text} value=${cell} /></a>`
                        : html`<${Text} value=${cell} />`}
                      ${WITH_BARS.has(name) ? html`<${Bar} parts=${partsOf(columns, row)} widest=${widest} />` : null}
                    </th>`,
              )}
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`;
}

const sum = (parts) => parts.reduce((total, [, value]) => total + value, 0);

/** Returns a row's parts: their kind and count. */
function partsOf(columns, row) {
  return columns
    .map((one, place) => [PARTS[one.replace(">", "")], Number(row[place].replaceAll(",", ""))])
    .filter(([kind, value]) => kind && value);
}

function Bar({ parts, widest }) {
  return html`<span class="stack" aria-hidden="true">
    ${parts.map(([kind, value]) => html`<span class=${`is-${kind}`} style=${{ width: `${(100 * value) / widest}%` }}></span>`)}
  </span>`;
}
