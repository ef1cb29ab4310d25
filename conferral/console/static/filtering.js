// Filtering and sorting of the list of calls.

import { nowMs, toMs } from "./shared/time.js";

/** Filters besides kinds and search: label, and predicate. */
export const ONLY = {
  trouble: ["needing attention", (row) => Boolean(row.trouble?.attention)],
  held: ["waiting, on hold, or parked", (row) => row.held !== null],
  lone: ["left alone", (row) => row.lone],
  transfers: ["with a transfer", (row) => row.transfer !== ""],
  failed: ["whose last transfer failed", (row) => row.transfer_status === "failed"],
};

/** Ranges of ended calls: label, and how far back they reach in milliseconds; 0 for all that the server lists. */
export const RANGES = {
  "": ["live calls only", 0],
  "15m": ["+ ended in the last 15 min", 900_000],
  "1h": ["+ ended in the last hour", 3_600_000],
  "4h": ["+ ended in the last 4 h", 14_400_000],
  today: ["+ ended today", 86_400_000],
  all: ["+ all ended calls", 0],
};

const LIVE = ["bridged", "converting", "conferenced", "transferring"];

/** What a call is to those on it: a bridge and a conference are both conversations, and a hold counts in a transfer too. */
export function kindOf({ state, phase, held }) {
  if (!LIVE.includes(state)) {
    return state === "ended" ? state : "unknown";
  }
  if (["voicemail", "ringing", "queued"].includes(phase)) {
    return phase;
  }
  return held && held.kind !== "waiting" ? held.kind : state === "transferring" ? state : "talking";
}

/** Since when the customer waits; empty if they don't. */
export const waitOf = (row) => row.held ?? (kindOf(row) === "ringing" ? { kind: "ringing", since: row.since } : null);

/** The columns that can sort the list: its text. ISO 8601 times of one length compare as strings. */
const SORTS = {
  customer: (row) => row.customer,
  number: (row) => row.number,
  agent: (row) => row.agent,
  with: (row) => row.with,
  since: (row) => row.created_at,
  waiting: (row) => row.state !== "ended" && waitOf(row)?.since,
};

/** Returns the order that the URL names; rows without a text come last in both directions. */
function orderOf(sort) {
  const read = SORTS[sort.replace("-", "")] ?? (() => "");
  const before = sort.startsWith("-") ? 1 : -1;
  return (one, other) => {
    const [mine, theirs] = [read(one), read(other)];
    return !mine - !theirs || (mine < theirs ? before : mine > theirs ? -before : 0);
  };
}

/** Returns the filter from the URL's parameters. */
export function filterOf(choices) {
  const [only, ended, sort] = ["only", "ended", "sort"].map((name) => choices.get(name) ?? "");
  return {
    kinds: new Set((choices.get("state") ?? "").split(",").filter(Boolean)),
    ended: ended in RANGES ? ended : "all",
    only: only in ONLY ? only : "",
    /** A column; after a minus, in descending order. */
    sort: sort.replace("-", "") in SORTS ? sort : "",
    words: (choices.get("find") ?? "").toLowerCase().split(/\s+/).filter(Boolean),
  };
}

/** Whether ended rows are shown: if asked for, or if nothing else is there. */
export function showsEnded(rows, filter) {
  return filter.ended !== "" || !(filter.kinds.size || filter.only || rows.some((row) => row.state !== "ended"));
}

/** The earliest end of a call that is shown, Unix milliseconds. */
function earliestEnd({ ended }) {
  const [, backMs] = RANGES[ended];
  return ended === "today" ? new Date(nowMs()).setHours(0, 0, 0, 0) : backMs && nowMs() - backMs;
}

/**
 * Returns the visible rows, those that need attention first, then the newest; and how many rows each filter hides.
 *
 * @param {Iterable<object>} rows
 * @param {ReturnType<typeof filterOf>} filter
 *
 * @returns {{ ids: string[], known: Set<string>, total: number, kinds: Record<string, number>, hidden: { by: "state" |
 * "only" | "find", count: number }[] }} `known`: ids of all rows, including hidden ones. `kinds`: live rows of each kind.
 */
export function filterAndSort(rows, filter) {
  const hidden = { state: 0, only: 0, find: 0 };
  const kinds = {};
  const shown = [];
  const known = new Set();
  const all = [...rows];
  const withEnded = showsEnded(all, filter);
  const fromMs = earliestEnd(filter);
  for (const row of all) {
    if (row.state === "ended" && !(withEnded && (toMs(row.ended_at) ?? 0) >= fromMs)) {
      continue; // outside of the range, or sent by the server before it applied the filter
    }
    const kind = kindOf(row);
    kinds[kind] = (kinds[kind] ?? 0) + 1;
    known.add(row.id);
    const by = hidingFilterOf(row, kind, filter);
    if (by) {
      hidden[by] += 1;
    } else {
      shown.push(row);
    }
  }
  const wanted = filter.words.filter(isDigits);
  const rank = wanted.length ? (row) => (wanted.every((word) => endsWith(row, word)) ? 0 : 1) : () => 0;
  const order = orderOf(filter.sort);
  shown.sort((one, other) => rank(one) - rank(other) || order(one, other) || byAttention(one, other));
  return {
    ids: shown.map((row) => row.id),
    known,
    total: known.size,
    kinds,
    hidden: Object.entries(hidden)
      .filter(([, count]) => count)
      .map(([by, count]) => ({ by, count })),
  };
}

/** Returns the first filter that hides a row; empty if it is visible. */
function hidingFilterOf(row, kind, filter) {
  if (filter.kinds.size && row.state !== "ended" && !filter.kinds.has(kind)) {
    return "state";
  }
  if (filter.only && !ONLY[filter.only][1](row)) {
    return "only";
  }
  return filter.words.every((word) => matches(row, word)) ? "" : "find";
}

/** Minimum length for matching anywhere within a SID (characters); shorter text must match its start. */
const SID_PART_MIN = 6;

const isDigits = (word) => /^\+?\d+$/.test(word);

/** Whether a phone number of the row ends with these digits; the page may know only a number's last digits. */
function endsWith(row, word) {
  const digits = word.replace("+", "");
  return row.digits.some((known) => known.endsWith(digits) || (digits.length > known.length && digits.endsWith(known)));
}

function matches(row, word) {
  const isSid = word.length >= SID_PART_MIN || /^c[af]/.test(word);
  if (isSid && row.sids.includes(word)) {
    return true;
  }
  if (isDigits(word)) {
    return endsWith(row, word);
  }
  const shown = `${kindOf(row)} ${row.state} ${row.phase} ${row.now} ${row.end_reason} ${row.trouble?.words ?? ""}`;
  return row.find.includes(word) || shown.toLowerCase().includes(word);
}

const NO_ATTENTION = 9;

/** A recovered failure is marked but doesn't come first. */
const rankOf = (row) => (row.trouble?.attention ? row.trouble.rank : NO_ATTENTION);

/** ISO 8601 times of one length compare as strings. */
function byAttention(one, other) {
  const worse = rankOf(one) - rankOf(other);
  if (worse) {
    return worse;
  }
  // Live sessions before ended ones.
  const over = (one.state === "ended") - (other.state === "ended");
  if (over) {
    return over;
  }
  const [mine, theirs] = [one.created_at ?? "", other.created_at ?? ""];
  return mine < theirs ? 1 : mine > theirs ? -1 : one.id < other.id ? -1 : 1;
}
