// Which rows are shown, in which order, and what hides the others.

/** What the list may be cut to, beside states and a search: label, and which rows remain. */
export const ONLY = {
  trouble: ["in trouble", (row) => row.trouble !== null],
  lone: ["lone", (row) => row.lone],
  transfers: ["with a transfer", (row) => row.transfer !== ""],
  failed: ["whose newest transfer failed", (row) => row.transfer_status === "failed"],
};

/** What somebody has chosen to see, from the address. */
export function filterOf(choices) {
  const only = choices.get("only") ?? "";
  return {
    states: new Set((choices.get("state") ?? "").split(",").filter(Boolean)),
    ended: choices.get("ended") === "1",
    only: only in ONLY ? only : "",
    words: (choices.get("find") ?? "").toLowerCase().split(/\s+/).filter(Boolean),
  };
}

/**
 * The rows that are shown, the worst trouble first, then the newest; and how many each choice hides.
 *
 * @param {Iterable<object>} rows
 * @param {ReturnType<typeof filterOf>} filter
 * `known`: all ids that were looked at, those that are hidden too.
 *
 * @returns {{ ids: string[], known: Set<string>, total: number, hidden: { by: "state" | "only" | "find", count: number }[] }}
 */
export function arrange(rows, filter) {
  const hidden = { state: 0, only: 0, find: 0 };
  const shown = [];
  const known = new Set();
  for (const row of rows) {
    if (row.state === "ended" && !filter.ended) {
      continue; // not asked for: the server still tells of it while the list changes over
    }
    known.add(row.id);
    const by = hiderOf(row, filter);
    if (by) {
      hidden[by] += 1;
    } else {
      shown.push(row);
    }
  }
  shown.sort(byTrouble);
  return {
    ids: shown.map((row) => row.id),
    known,
    total: known.size,
    hidden: Object.entries(hidden)
      .filter(([, count]) => count)
      .map(([by, count]) => ({ by, count })),
  };
}

/** The first choice that hides a row; empty where it is shown. */
function hiderOf(row, filter) {
  if (filter.states.size && row.state !== "ended" && !filter.states.has(row.state)) {
    return "state";
  }
  if (filter.only && !ONLY[filter.only][1](row)) {
    return "only";
  }
  return filter.words.every((word) => row.find.includes(word) || matchesShown(row, word)) ? "" : "find";
}

/** What is searched beside the row's own words: what the eye sees in it. */
function matchesShown(row, word) {
  return `${row.state} ${row.phase} ${row.end_reason} ${row.trouble?.words ?? ""}`.toLowerCase().includes(word);
}

const NO_TROUBLE = 9;

/** Times are ISO 8601 of one length, so as texts they are in order. */
function byTrouble(one, other) {
  const worse = (one.trouble?.rank ?? NO_TROUBLE) - (other.trouble?.rank ?? NO_TROUBLE);
  if (worse) {
    return worse;
  }
  // Live ones before those that are over.
  const over = (one.state === "ended") - (other.state === "ended");
  if (over) {
    return over;
  }
  const [mine, theirs] = [one.created_at ?? "", other.created_at ?? ""];
  return mine < theirs ? 1 : mine > theirs ? -1 : one.id < other.id ? -1 : 1;
}
