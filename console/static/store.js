// All that the page knows. The server tells it again after a reload; only what somebody has chosen is kept here.

import { batch, computed, effect, signal } from "@preact/signals";

/** Messages on top of which nothing more is kept: commands that were given here (count). */
const COMMANDS_KEPT = 20;
/** Status of a command that was sent from here, and to which nobody has said anything: it may have been done. */
export const UNANSWERED = "unanswered";

/**
 * The connection: `connecting` (nothing was shown yet), `open`, `lost`, `signed-out`.
 * `sinceMs`: since when, by this machine's clock. `retryMs`: when it is tried again.
 */
export const link = signal({ state: "connecting", sinceMs: Date.now(), retryMs: 0 });
/** Up to when the data are known to be true, as the server says; null before the first time. */
export const asOf = signal(null);
/** What is wrong with Redis, in words; empty while it answers. */
export const redisError = signal("");

/** What the server says of itself; `public_url` is the control API's, `shown_token` its token; empty where not told. */
export const hello = signal({
  version: "",
  read_only: false,
  prefix: "",
  public_command: "conferral",
  public_url: "",
  shown_token: "",
  has_twilio_pages: false,
});
/** Counts of all sessions and of the last hour; null before the first time. */
export const summary = signal(null);
/** Why what is shown can't be trusted to be true now; empty where it can. */
export const staleReason = computed(() => {
  if (link.value.state !== "open") {
    return "the console is not connected";
  }
  return redisError.value ? "there is no news from Redis" : "";
});
/** Whether there is such a reason. */
export const isStale = computed(() => staleReason.value !== "");

// ---- the list of sessions --------------------------------------------------------------------------------------------

/** Rows by session id. Many change in a moment: the map is changed in place, and `rowsRevision` says that it was. */
export const rows = new Map();
/** Grows once a frame in which rows have changed. */
export const rowsRevision = signal(0);
/** Whether the list was told whole once. */
export const rowsKnown = signal(false);
/** Grows each time the list is told whole: somebody has come to it, or wants others. */
export const rowsWhole = signal(0);

// ---- one session, health, dead letters -------------------------------------------------------------------------------

/** The session that is looked at, as the server told it last; null while nothing is known. */
export const session = signal(null);
/** Its log: moments, oldest first. */
export const moments = signal([]);
/** It as it was at a version, as the server worked it out; null while it is looked at as it is now. */
export const past = signal(null);
export const health = signal(null);
export const dead = signal(null);
/** How many dead letters there are, as whichever message has told it last; null before the first. */
export const deadCount = signal(null);

/** Commands that were given on this page, newest first: command (its id), type, session, status, reason, fields, atMs. */
export const commands = signal([]);

// ---- what somebody has chosen ----------------------------------------------------------------------------------------

/** Whether numbers are wanted whole. Not kept: who opens the page anew sees them cut again. */
export const full = signal(false);
/** Whether the list stands still: null, or since when. */
export const pausedSince = signal(null);
/** Whether a time line has its newest moment first. */
export const newestFirst = signal(kept("newest-first") === "true");
effect(() => keep("newest-first", String(newestFirst.value)));

/**
 * What was kept in this browser under a name; null for nothing.
 *
 * @param {string} name
 */
export function kept(name) {
  try {
    return localStorage.getItem(`conferral-console.${name}`);
  } catch {
    return null; // a browser that keeps nothing: the choice lasts as long as the page
  }
}

/**
 * Keeps a choice in this browser.
 *
 * @param {string} name
 * @param {string} value
 */
export function keep(name, value) {
  try {
    localStorage.setItem(`conferral-console.${name}`, value);
  } catch {
    // As above.
  }
}

// ---- what the server tells -------------------------------------------------------------------------------------------

let frame = 0;

/** Rows have changed: they are drawn once, in the next frame, however many messages come until then. */
function touchRows() {
  // A hidden page gets no frames, and need not draw.
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    rowsRevision.value += 1;
  });
}

/** Takes rows that the server has told of. */
export function applyRows(message) {
  if (message.whole) {
    rows.clear();
    rowsKnown.value = true;
  }
  for (const row of message.rows) {
    rows.set(row.id, row);
  }
  for (const id of message.gone ?? []) {
    rows.delete(id);
  }
  rowsWhole.value += message.whole ? 1 : 0;
  touchRows();
}

/** Takes new moments of the log, or those that are known with more in them; of a whole log those that were known go. */
export function applyLog(message) {
  const byId = new Map(message.whole ? [] : moments.value.map((moment) => [moment.entry_id, moment]));
  for (const moment of message.entries) {
    byId.set(moment.entry_id, moment);
  }
  moments.value = [...byId.values()].sort(byEntry);
}

/** Entry ids are a time and a number within it: as texts they are in order only when they are equally long. */
function byEntry(one, other) {
  const [oneMs, oneNumber] = one.entry_id.split("-").map(Number);
  const [otherMs, otherNumber] = other.entry_id.split("-").map(Number);
  return oneMs - otherMs || oneNumber - otherNumber;
}

/** Takes what became of a command, or that it was given. What is final stays so; that there was no answer is no news. */
export function applyCommand(told) {
  const known = commands.value.find((one) => one.command === told.command);
  if (known && ((isFinal(known.status) && !isFinal(told.status)) || told.status === UNANSWERED)) {
    return;
  }
  const type = told.type || known?.type || "";
  // Redis names no session for a command that was refused before any took it.
  const session = told.session || known?.session || "";
  const one = { ...known, ...told, type, session, atMs: known?.atMs ?? Date.now() };
  commands.value = [one, ...commands.value.filter((other) => other.command !== told.command)]
    .sort((a, b) => b.atMs - a.atMs)
    .slice(0, COMMANDS_KEPT);
}

/** Whether nothing more will become of a command. */
export function isFinal(status) {
  return status === "done" || status === "failed" || status === "rejected";
}

/** Forgets what the server has told of a session: another one is looked at. */
export function resetSession() {
  batch(() => {
    session.value = null;
    moments.value = [];
    past.value = null;
  });
}

/** Forgets all that the server has told: nobody is signed in any more. */
export function resetAll() {
  batch(() => {
    rows.clear();
    rowsKnown.value = false;
    rowsRevision.value += 1;
    summary.value = null;
    health.value = null;
    dead.value = null;
    deadCount.value = null;
    commands.value = [];
    full.value = false;
    keep("list", ""); // a number may have been searched for
    resetSession();
  });
}
