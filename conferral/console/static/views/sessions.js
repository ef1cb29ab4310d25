// Calls: the list, those that need attention first, and on wide screens the open call next to it.

import { html } from "htm/preact";

import { ONLY, RANGES, filterOf, showsEnded } from "../filtering.js";
import { useKeys } from "../keys.js";
import { HealthStrip } from "../parts/health-strip.js";
import { Queues, SoundSwitch } from "../parts/queues.js";
import { visibleRows, move, openChosen, Rows } from "../parts/rows.js";
import { choose, chooseList, go, isSplit, route, to } from "../route.js";
import { pausedSince, rows, rowsKnown } from "../store.js";
import { copy } from "../shared/copy.js";
import { Icon } from "../shared/icon.js";
import { counted, printable } from "../shared/text.js";
import { age, nowMs } from "../shared/time.js";
import { Kind } from "../parts/badges.js";
import { COLUMNS } from "../parts/row.js";
import { Session } from "./session.js";

const LIVE = ["ringing", "queued", "talking", "on hold", "parked", "transferring"];

/** The view. */
export function Calls() {
  const { view, id } = route.value;
  const isOpen = view === "session";
  const isListed = !isOpen || isSplit.value;
  const onList = {
    "/": () => document.getElementById("search").focus(),
    j: () => move(1),
    k: () => move(-1),
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    Home: () => move(-Infinity),
    End: () => move(Infinity),
    Enter: openChosen,
    p: togglePause,
  };
  useKeys({ ...(isListed ? onList : {}), Escape: goBack }, [isListed]);
  return html`<div class=${isOpen && isListed ? "calls is-split" : "calls"}>
    ${isListed
      ? html`<section class="calls-list" aria-label="List of calls">
          ${isOpen ? null : html`<h1 class="unseen">Calls</h1><${HealthStrip} /><${Queues} />`}
          <${Filters} />
          <${Rows} />
          <${Nothing} />
        </section>`
      : null}
    ${isOpen ? html`<article class="call" aria-label="Call"><${Session} key=${id} /></article>` : null}
  </div>`;
}

function togglePause() {
  pausedSince.value = pausedSince.value === null ? nowMs() : null;
}

/** Closes what is innermost: the open menu, the search, an earlier version, then the call. */
function goBack() {
  const { view, choices } = route.value;
  const menu = document.querySelector(".more[open]");
  const search = document.getElementById("search");
  if (menu) {
    menu.open = false;
    menu.firstElementChild.focus();
  } else if (view === "sessions" || search?.matches(":focus")) {
    search.blur();
    chooseList({ find: "" });
  } else if (choices.get("at")) {
    choose({ at: "" });
  } else {
    go("sessions");
  }
}

function Filters() {
  const { list, view } = route.value;
  const filter = filterOf(list);
  const { kinds } = visibleRows.value;
  const toggle = (kind) => {
    const wanted = new Set(filter.kinds);
    wanted.delete(kind) || wanted.add(kind);
    chooseList({ state: [...wanted].join(",") });
  };
  return html`<form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <div class="chips" role="group" aria-label="Filter">
        ${LIVE.map(
          (kind) => html`<button type="button" key=${kind} class="chip" aria-pressed=${filter.kinds.has(kind)} onClick=${() => toggle(kind)}>
            <${Kind} kind=${kind} isIcon=${view === "session"} /> <span class="number">${(kinds[kind] ?? 0).toLocaleString("en")}</span>
          </button>`,
        )}
      </div>
      <select aria-label="Ended calls" value=${filter.ended} onChange=${(event) => chooseList({ ended: event.target.value })}>
        ${Object.entries(RANGES).map(([key, [label]]) => html`<option key=${key} value=${key}>${label}</option>`)}
      </select>
      <select class="sort" aria-label="Sort" value=${filter.sort} onChange=${(event) => chooseList({ sort: event.target.value })}>
        ${[["", "Attention"], ...COLUMNS].map(([key, label]) => html`<option key=${key} value=${key}>↓ ${label}</option>`)}
      </select>
      <label class="search">
        <span class="unseen">Search by number, name, label, or SID</span>
        <input
          id="search"
          type="search"
          value=${list.get("find") ?? ""}
          placeholder="Number, name, SID"
          autocomplete="off"
          spellcheck=${false}
          onInput=${(event) => chooseList({ find: event.target.value })}
          onKeyDown=${onSearchKey}
        />
      </label>
      <${SoundSwitch} />
      <button type="button" class="pause" aria-pressed=${pausedSince.value !== null} aria-label=${pauseLabel()} onClick=${togglePause}>
        <${Icon} name="pause" /><span>${pauseLabel()}</span>
      </button>
      <button type="button" title="Copy a link to this view" onClick=${copyView}>
        <${Icon} name="copy" /><span class="unseen">Copy a link to this view</span>
      </button>
    </form>
    <${Hidden} filter=${filter} />`;
}

const pauseLabel = () => (pausedSince.value === null ? "Pause" : `Resume (paused for ${age(pausedSince.value)})`);

/** A view is its address: filters, range, and order are in it. */
function copyView() {
  const address = new URL(to("sessions", "", Object.fromEntries(route.value.list)), document.baseURI);
  void copy(address.href, "a link to this view");
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
function Hidden({ filter }) {
  const { ids, total, hidden } = visibleRows.value;
  if (!hidden.length) {
    const isFilled = ids.length && !filter.ended && showsEnded([...rows.values()], filter);
    const text = isFilled ? "No live calls. The newest ended calls:" : counted(total, "call");
    return html`<p class="shown small muted">${rowsKnown.value ? text : ""}</p>`;
  }
  const parts = hidden.map(({ by, count }) => `${count.toLocaleString("en")} ${HIDERS[by](filter)}`);
  return html`<p class="shown small">
    <span>${matchLine(ids.length, total, hidden, filter) ?? `${ids.length.toLocaleString("en")} of ${counted(total, "call")}; hidden: ${parts.join(", ")}`}</span>
    <button type="button" onClick=${() => chooseList({ state: "", only: "", find: "" })}>Show all</button>
  </p>`;
}

/** Possible session ids and call SIDs: Redis may have sessions that the list doesn't. */
const ID = /^[\w-]{8,64}$/;

function Nothing() {
  const { ids, total } = visibleRows.value;
  if (ids.length) {
    return null;
  }
  const find = (route.value.list.get("find") ?? "").trim();
  const text = !rowsKnown.value
    ? "Loading calls…"
    : total || find
      ? "No matching calls."
      : "No live calls. The next one appears here by itself; to place one, run conferral call.";
  return html`<p class="nothing muted">${text}</p>
    ${rowsKnown.value && find ? html`<${Elsewhere} find=${find} />` : null}`;
}

/** Offers other places to search for what the list doesn't have. */
function Elsewhere({ find }) {
  const { ended } = filterOf(route.value.list);
  return html`<p class="nothing">
    ${ended === "all"
      ? html`<span class="muted">Only the newest ended calls are listed.</span>`
      : html`<button type="button" onClick=${() => chooseList({ ended: "all" })}>Include ended calls</button>`}
    ${ID.test(find) ? html` <a class="button" href=${to("session", find)}>Open the call with this ID</a>` : null}
  </p>`;
}
