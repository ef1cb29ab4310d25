// List of calls: those that need attention first.

import { html } from "htm/preact";

import { ONLY, SORTS, filterOf, showsEnded } from "../filtering.js";
import { useKeys } from "../keys.js";
import { listLines } from "../command-lines.js";
import { HealthStrip } from "../parts/health-strip.js";
import { visibleRows, move, openChosen, Rows } from "../parts/rows.js";
import { CommandLine } from "../parts/command-line.js";
import { choose, route, to } from "../route.js";
import { hello, pausedSince, rows, rowsKnown, summary } from "../store.js";
import { counted, printable } from "../shared/text.js";
import { age, nowMs } from "../shared/time.js";
import { State } from "../parts/badges.js";

const LIVE = ["bridged", "converting", "conferenced", "transferring"];

/** The view. */
export function Sessions() {
  useKeys(
    {
      "/": () => document.getElementById("search").focus(),
      j: () => move(1),
      k: () => move(-1),
      ArrowDown: () => move(1),
      ArrowUp: () => move(-1),
      Home: () => move(-Infinity),
      End: () => move(Infinity),
      Enter: openChosen,
      Escape: clearSearch,
      p: togglePause,
    },
    [],
  );
  return html`
    <h1 class="unseen">Calls</h1>
    <${HealthStrip} />
    <${Filters} />
    <${Hidden} />
    <${Rows} />
    <${Nothing} />
    <${CommandLine} lines=${listLines(hello.value.public_command || "conferral", filterOf(route.value.choices))} />
  `;
}

function togglePause() {
  pausedSince.value = pausedSince.value === null ? nowMs() : null;
}

function clearSearch() {
  document.getElementById("search").blur();
  choose({ find: "" });
}

function Filters() {
  const { choices } = route.value;
  const filter = filterOf(choices);
  const counts = summary.value?.counts.by_state ?? {};
  const toggle = (state) => {
    const states = new Set(filter.states);
    states.delete(state) || states.add(state);
    choose({ state: [...states].join(",") });
  };
  return html`<form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
    <div class="chips" role="group" aria-label="States">
      ${LIVE.map(
        (state) => html`<button
          type="button"
          key=${state}
          class="chip"
          aria-pressed=${filter.states.has(state)}
          onClick=${() => toggle(state)}
        >
          <${State} state=${state} /> <span class="number">${(counts[state] ?? 0).toLocaleString("en")}</span>
        </button>`,
      )}
      <button
        type="button"
        class="chip"
        aria-label="include ended"
        aria-pressed=${filter.ended}
        onClick=${() => choose({ ended: filter.ended ? "" : "1" })}
      >
        <span>+</span> <${State} state="ended" />
      </button>
    </div>
    <label class="only">
      <span class="muted">Show</span>
      <select value=${filter.only} onChange=${(event) => choose({ only: event.target.value })}>
        <option value="">all</option>
        ${Object.entries(ONLY).map(([key, [label]]) => html`<option value=${key}>${label}</option>`)}
      </select>
    </label>
    <label class="only">
      <span class="muted">Sort by</span>
      <select value=${filter.sort} onChange=${(event) => choose({ sort: event.target.value })}>
        <option value="">needs attention</option>
        ${Object.entries(SORTS).map(([key, [label]]) => html`<option value=${key}>${label}</option>`)}
      </select>
    </label>
    <label class="search">
      <span class="unseen">Search by number, name, label, or SID</span>
      <input
        id="search"
        type="search"
        value=${choices.get("find") ?? ""}
        placeholder="Number, name, SID"
        autocomplete="off"
        spellcheck=${false}
        onInput=${(event) => choose({ find: event.target.value })}
        onKeyDown=${onSearchKey}
      />
    </label>
    <button type="button" aria-pressed=${pausedSince.value !== null} onClick=${togglePause}>
      ${pausedSince.value === null ? "Pause" : `Resume (paused for ${age(pausedSince.value)})`}
    </button>
  </form>`;
}

/** The arrow key leads from the search into the list. */
function onSearchKey(event) {
  if (event.key === "ArrowDown" || event.key === "Enter") {
    event.preventDefault();
    move(event.key === "Enter" ? -Infinity : 1);
  }
}

const HIDERS = {
  state: () => "by state",
  only: (filter) => `by the filter “${ONLY[filter.only]?.[0]}”`,
  find: (filter) => `by the search for “${printable(filter.words.join(" "))}”`,
};

/** If only the search hides rows: how many match it; otherwise undefined. */
function matchLine(shown, total, hidden, filter) {
  const isSearchAlone = hidden.length === 1 && hidden[0].by === "find";
  const words = printable(filter.words.join(" "));
  return isSearchAlone ? `${shown.toLocaleString("en")} of ${counted(total, "call")} ${shown === 1 ? "matches" : "match"} “${words}”` : undefined;
}

/** Says how many rows each filter hides, with a button to show all. */
function Hidden() {
  const { ids, total, hidden } = visibleRows.value;
  const filter = filterOf(route.value.choices);
  if (!hidden.length) {
    const isFilled = ids.length && !filter.ended && showsEnded([...rows.values()], filter);
    const text = isFilled ? "No live calls. The newest ended calls:" : counted(total, "call");
    return html`<p class="shown small muted">${rowsKnown.value ? text : ""}</p>`;
  }
  const parts = hidden.map(({ by, count }) => `${count.toLocaleString("en")} ${HIDERS[by](filter)}`);
  return html`<p class="shown small">
    <span>${matchLine(ids.length, total, hidden, filter) ?? `${ids.length.toLocaleString("en")} of ${counted(total, "call")}; hidden: ${parts.join(", ")}`}</span>
    <button type="button" onClick=${() => choose({ state: "", only: "", find: "" })}>Show all</button>
  </p>`;
}

/** Possible session ids and call SIDs: Redis may have sessions that the list doesn't. */
const ID = /^[\w-]{8,64}$/;

function Nothing() {
  const { ids, total } = visibleRows.value;
  if (ids.length) {
    return null;
  }
  const find = (route.value.choices.get("find") ?? "").trim();
  const text = !rowsKnown.value
    ? "Loading calls…"
    : total || find
      ? "No matching calls."
      : "No live calls. The next one appears here automatically.";
  return html`<p class="nothing muted">${text}</p>
    ${rowsKnown.value && find ? html`<${Elsewhere} find=${find} />` : null}`;
}

/** Offers other places to search for what the list doesn't have. */
function Elsewhere({ find }) {
  const { ended } = filterOf(route.value.choices);
  return html`<p class="nothing">
    ${ended
      ? html`<span class="muted">Only the newest ended calls are listed.</span>`
      : html`<button type="button" onClick=${() => choose({ ended: "1" })}>Include ended calls</button>`}
    ${ID.test(find) ? html` <a class="button" href=${to("session", find)}>Open the call with this ID</a>` : null}
  </p>`;
}
