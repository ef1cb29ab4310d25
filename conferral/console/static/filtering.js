// Filtering and sorting of the session list.

/** Filters besides states and search: label, and predicate. */
export const ONLY = {
  trouble: ["needing attention", (row) => Boolean(row.trouble?.attention)],
  held: ["waiting, on hold, or parked", (row) => row.held !== null],
  lone: ["left alone", (row) => row.lone],
  transfers: ["with a transfer", (row) => row.transfer !== ""],
  failed: ["whose last transfer failed", (row) => row.transfer_status === "failed"],
};

/** Sorts by time, earliest first; rows without one come last. ISO 8601 times of one length compare as strings. */
const earliest = (moment) => (one, other) => {
  const [mine, theirs] = [moment(one) || "~", moment(other) || "~"];
  return mine < theirs ? -1 : mine > theirs ? 1 : 0;
};

/** Sort orders besides attention: label, and comparison. */
export const SORTS = {
  age: ["longest call", earliest((row) => row.state !== "ended" && row.created_at)],
  state: ["longest in current state", earliest((row) => row.state !== "ended" && row.since)],
  held: ["longest wait or hold", earliest((row) => row.held?.since)],
};

/** Returns the filter from the URL's parameters. */
export function filterOf(choices) {
  const only = choices.get("only") ?? "";
  return {
    states: new Set((choices.get("state") ?? "").split(",").filter(Boolean)),
    ended: choices.get("ended") === "1",
    only: only in ONLY ? only : "",
    sort: SORTS[choices.get("sort")] ? choices.get("sort") : "",
    words: (choices.get("find") ?? "").toLowerCase().split(/\s+/).filter(Boolean),
  };
}

/** Whether ended rows are shown: if asked for, or if nothing else is there. */
export function showsEnded(rows, filter) {
  return filter.ended || !(filter.states.size || filter.only || rows.some((row) => row.state !== "ended"));
}

/**
 * Returns the visible rows, those that need attention first, then the newest; and how many rows each filter hides.
 *
 * @param {Iterable<object>} rows
 * @param {ReturnType<typeof filterOf>} filter `known`: ids of all rows, including hidden ones.
 *
 * @returns {{ ids: string[], known: Set<string>, total: number, hidden: { by: "state" | "only" | "find", count: number
 * }[] }}
 */
export function filterAndSort(rows, filter) {
  const hidden = { state: 0, only: 0, find: 0 };
  const shown = [];
  const known = new Set();
  const all = [...rows];
  const withEnded = showsEnded(all, filter);
  for (const row of all) {
    if (row.state === "ended" && !withEnded) {
      continue; // an ended row that the server sent before it applied the filter
    }
    known.add(row.id);
    const by = hidingFilterOf(row, filter);
    if (by) {
      hidden[by] += 1;
    } else {
      shown.push(row);
    }
  }
  const wanted = filter.words.filter(isDigits);
  const rank = wanted.length ? (row) => (wanted.every((word) => endsWith(row, word)) ? 0 : 1) : () => 0;
  const order = SORTS[filter.sort]?.[1] ?? byAttention;
  shown.sort((one, other) => rank(one) - rank(other) || order(one, other) || byAttention(one, other));
  return {
    ids: shown.map((row) => row.id),
    known,
    total: known.size,
    hidden: Object.entries(hidden)
      .filter(([, count]) => count)
      .map(([by, count]) => ({ by, count })),
  };
}

/** Returns the first filter that hides a row; empty if it is visible. */
function hidingFilterOf(row, filter) {
  if (filter.states.size && row.state !== "ended" && !filter.states.has(row.state)) {
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
  const shown = `${row.state} ${row.phase} ${row.now} ${row.end_reason} ${row.trouble?.words ?? ""}`.toLowerCase();
  return row.find.includes(word) || shown.includes(word);
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
