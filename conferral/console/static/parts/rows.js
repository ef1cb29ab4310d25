// Virtual list: only visible rows are in the document, and rows keep their place under the pointer.

import { computed, effect, signal, untracked } from "@preact/signals";
import { html } from "htm/preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import { filterAndSort, filterOf } from "../filtering.js";
import { chooseList, go, route } from "../route.js";
import { isStale, pausedSince, rows, rowsKnown, rowsRevision, rowsWhole } from "../store.js";
import { Icon } from "../shared/icon.js";
import { counted } from "../shared/text.js";
import { COLUMNS, Row } from "./row.js";

/** Minimum interval between sorts, in milliseconds. */
const SORT_EVERY_MS = 2000;
/** How long a resting pointer on the list still prevents sorting, in milliseconds. */
const AIMING_MS = 10_000;
/** Rows rendered above and below the visible ones (count). */
const OVERSCAN = 8;
/** Maximum number of rows in the document, however small the font. */
const DRAWN_MAX = 150;
/** Below this width, a row is a card; the style sheet has the same value. */
const NARROW = matchMedia("(max-width: 760px)");
const COARSE = matchMedia("(pointer: coarse)");
/** Heights of a row, of one to touch, and of a card, in rem. */
const ROW_REM = 1.5625;
const TOUCH_REM = 2.75;
const CARD_REM = 3.5;

/** The visible rows in order, from `filterAndSort`. */
export const visibleRows = signal({ ids: [], known: new Set(), total: 0, kinds: {}, hidden: [] });
/** The rows at the time of pausing; null while the list is live. */
const frozenRows = signal(null);
/** Id of the row that keys act on. */
export const chosen = signal("");
const filter = computed(() => filterOf(route.value.list));

let sortedMs = 0;
let sortTimer = 0;
let aimedMs = -AIMING_MS;
/** When the user opened the list or changed the filter: the rows that follow are sorted in without delay. */
let askedMs = -SORT_EVERY_MS;

/** Sorts now, even under the pointer, because the user requested other rows. */
function sortNow() {
  clearTimeout(sortTimer);
  sortTimer = 0;
  sortedMs = performance.now();
  visibleRows.value = filterAndSort((frozenRows.peek() ?? rows).values(), filter.peek());
}

/** Sorts once the minimum interval has passed and the pointer doesn't prevent it. */
function sortSoon() {
  if (sortTimer || frozenRows.peek()) {
    return;
  }
  const nowMs = performance.now();
  const pauseMs = nowMs < askedMs + SORT_EVERY_MS ? 0 : SORT_EVERY_MS;
  const waitMs = Math.max(sortedMs + pauseMs, aimedMs + AIMING_MS) - nowMs;
  if (waitMs <= 0) {
    sortNow();
  } else {
    sortTimer = setTimeout(() => {
      sortTimer = 0;
      sortSoon();
    }, waitMs);
  }
}

effect(() => {
  const paused = pausedSince.value !== null;
  untracked(() => {
    frozenRows.value = paused ? new Map(rows) : null;
    sortNow();
  });
});
effect(() => {
  void filter.value;
  untracked(sortAsked);
});
// Keys go on from the open call.
effect(() => {
  chosen.value = route.value.id || chosen.peek();
});
effect(() => {
  void rowsWhole.value;
  void rowsKnown.value;
  untracked(sortNow);
});
effect(() => {
  void rowsRevision.value;
  untracked(() => (visibleRows.value.ids.length ? sortSoon() : sortNow()));
});

function sortAsked() {
  askedMs = performance.now();
  sortNow();
}

/** On mount: sorts the list and forgets the pointer's position; on unmount, forgets it again. */
function onMount() {
  forgetAim();
  sortAsked();
  return forgetAim;
}

/** Number of new rows that aren't sorted in yet because of the pointer. */
const waiting = computed(() => {
  void rowsRevision.value;
  const { known } = visibleRows.value;
  let count = 0;
  for (const row of frozenRows.value ? [] : rows.values()) {
    count += !known.has(row.id) && (row.state !== "ended" || filter.value.ended === "all") ? 1 : 0;
  }
  return count;
});

/** Moves the selection by `by` rows, or to the first or last, and scrolls to it. */
export function move(by) {
  const { ids } = visibleRows.value;
  if (!ids.length) {
    return;
  }
  const from = ids.indexOf(chosen.value);
  const place = from < 0 ? (by === Infinity ? ids.length - 1 : 0) : Math.min(ids.length - 1, Math.max(0, from + by));
  chosen.value = ids[place];
  wantsFocus = true;
}

/** Opens the selected row. */
export function openChosen() {
  if (rows.has(chosen.value) || frozenRows.value?.has(chosen.value)) {
    go("session", chosen.value);
  }
}

let wantsFocus = false;

const remPx = () => parseFloat(getComputedStyle(document.documentElement).fontSize);
const height = signal(0);
const measure = () => {
  height.value = Math.round((NARROW.matches ? CARD_REM : COARSE.matches ? TOUCH_REM : ROW_REM) * remPx());
};
measure();
NARROW.addEventListener("change", measure);
COARSE.addEventListener("change", measure);
addEventListener("resize", measure);

/** First rendered index, and the one after the last. */
const renderedRange = signal({ first: 0, last: 40 });

function updateRange(list) {
  const top = list.getBoundingClientRect().top;
  const first = Math.max(0, Math.floor(-top / height.peek()) - OVERSCAN);
  const last = Math.min(first + DRAWN_MAX, Math.ceil((innerHeight - top) / height.peek()) + OVERSCAN);
  const { first: firstBefore, last: lastBefore } = renderedRange.peek();
  if (first !== firstBefore || last !== lastBefore) {
    renderedRange.value = { first, last: Math.max(first, last) };
  }
}

/** The list with its headings. */
export function Rows() {
  const list = useRef(null);
  const { ids } = visibleRows.value;
  const px = height.value;
  useEffect(() => followScrolling(list), []);
  useLayoutEffect(onMount, []);
  useLayoutEffect(() => keepFocus(list.current));
  void rowsRevision.value;
  const from = frozenRows.value ?? rows;
  const entry = ids.includes(chosen.value) ? chosen.value : ids[0];
  return html`
    <div
      role="table"
      class=${`rows ${isStale.value ? "is-blind" : ""}`}
      aria-label="Calls"
      aria-rowcount=${ids.length + 1}
      aria-busy=${!rowsKnown.value}
      onPointerMove=${aim}
      onPointerDown=${aim}
      onPointerLeave=${unaim}
    >
      <div role="rowgroup" class="rows-head">
        <div role="row" class="row" aria-rowindex="1">
          ${COLUMNS.map(([key, label]) => html`<${Heading} key=${key} name=${key} label=${label} />`)}
        </div>
      </div>
      <div role="rowgroup" class="rows-body" ref=${list} style=${{ height: `${ids.length * px}px` }} onClick=${openClicked}>
        ${renderedPlaces(ids).map(
          (place) => html`<${Row}
            key=${ids[place]}
            id=${ids[place]}
            row=${from.get(ids[place]) ?? null}
            place=${place}
            height=${px}
            chosen=${ids[place] === chosen.value}
            isOpen=${ids[place] === route.value.id}
            isEntry=${ids[place] === entry}
          />`,
        )}
      </div>
    </div>
    <p class="rows-note small muted">
      ${waiting.value && performance.now() < aimedMs + AIMING_MS ? `${counted(waiting.value, "more call")} not shown yet; the list doesn't move under the pointer.` : ""}
    </p>
  `;
}

/** A column's heading: a click sorts by it, another turns the order around, the third sorts by attention again. */
function Heading({ name, label }) {
  const { sort } = filter.value;
  const order = sort === name ? "ascending" : sort === `-${name}` ? "descending" : undefined;
  const next = { undefined: name, ascending: `-${name}`, descending: "" }[order];
  return html`<div role="columnheader" class=${`cell cell-${name}`} aria-sort=${order}>
    <button type="button" onClick=${() => chooseList({ sort: next })}>
      ${label}${order ? html` <${Icon} name=${order === "ascending" ? "arrow-up" : "arrow-down"} />` : null}
    </button>
  </div>`;
}

/** Returns the indexes to render: the visible ones, and the selected one, so that it keeps the focus. */
function renderedPlaces(ids) {
  const { first, last } = renderedRange.value;
  const places = [];
  for (let place = first; place < Math.min(last, ids.length); place += 1) {
    places.push(place);
  }
  const mine = ids.indexOf(chosen.value);
  if (mine >= 0 && mine < first) {
    places.unshift(mine);
  } else if (mine >= last) {
    places.push(mine);
  }
  return places;
}

function followScrolling(list) {
  // The observer may fire once more after the list is gone.
  const onScroll = () => list.current && updateRange(list.current);
  const watcher = new ResizeObserver(onScroll);
  watcher.observe(document.body);
  addEventListener("scroll", onScroll, { passive: true, capture: true }); // also of the list's own pane
  addEventListener("resize", onScroll);
  onScroll();
  return () => {
    watcher.disconnect();
    removeEventListener("scroll", onScroll, { capture: true });
    removeEventListener("resize", onScroll);
  };
}

/** Focuses the selected row after keys moved it, and restores the focus after data moved its element. */
let focusedId = "";

function keepFocus(list) {
  if (wantsFocus) {
    wantsFocus = false;
    const link = linkOf(list, chosen.value);
    link?.closest(".row").scrollIntoView({ block: "nearest" });
    link?.focus({ preventScroll: true });
  } else if (focusedId && document.activeElement === document.body) {
    linkOf(list, focusedId)?.focus({ preventScroll: true });
  }
  focusedId = document.activeElement?.closest?.(".row")?.dataset.id ?? "";
}

const linkOf = (list, id) => list.querySelector(`[data-id="${CSS.escape(id)}"] a`);

let pointer = "";

/** Browsers also send pointermove when rows move below a resting pointer: ignore events without a new position. */
function aim(event) {
  const place = `${event.clientX} ${event.clientY}`;
  if (place !== pointer || event.type === "pointerdown") {
    pointer = place;
    aimedMs = performance.now();
  }
}

function unaim() {
  forgetAim();
  sortSoon();
}

function forgetAim() {
  pointer = "";
  aimedMs = -AIMING_MS;
  clearTimeout(sortTimer);
  sortTimer = 0;
}

/** A click anywhere in the row opens it; text selection, and clicks on the link itself, are left to the browser. */
function openClicked(event) {
  const id = event.target.closest(".row")?.dataset.id;
  if (id && !event.target.closest("a, button") && getSelection().isCollapsed) {
    go("session", id);
  }
}
