// Store: all of the page's state. After a reload, the server sends it again; only the user's choices persist here.

import { batch, computed, effect, signal } from "@preact/signals";
import * as browser from "./shared/kept.js";

/** Maximum number of submitted commands kept (count). */
const COMMANDS_KEPT = 20;
/** Status of a command that was sent without a response: it may have run. */
export const UNANSWERED = "unanswered";

/**
 * The connection: `connecting` (no data yet), `open`, `lost`, `signed-out`. `sinceMs`: start, by this machine's clock.
 * `retryMs`: time of the next attempt.
 */
export const link = signal({ state: "connecting", sinceMs: Date.now(), retryMs: 0 });
/** Time of the server's last successful poll; null before the first. */
export const asOf = signal(null);
/** Redis's error; empty while it responds. */
export const redisError = signal("");

/**
 * The server's greeting; `token` is the name of the token that the page is signed in with, `may` its permissions and
 * commands; `public_url` is the control API's, `shown_token` its token; empty if not sent.
 */
export const hello = signal({
  version: "",
  read_only: false,
  token: "",
  may: [],
  prefix: "",
  public_command: "conferral",
  public_url: "",
  shown_token: "",
  has_twilio_pages: false,
});
/** Whether the page's token has a permission, or may send a command; the server refuses the rest anyway. */
export const may = (what) => hello.value.may.includes(what);
/** Counts of all sessions and of the last hour; null before the first message. */
export const summary = signal(null);
/** Why the displayed data may be stale; empty if it is current. */
export const staleReason = computed(() => {
  if (link.value.state !== "open") {
    return "the console is not connected";
  }
  return redisError.value ? "there are no updates from Redis" : "";
});
/** Whether the displayed data may be stale. */
export const isStale = computed(() => staleReason.value !== "");

// ---- the list of sessions --------------------------------------------------------------------------------------------

/** Rows by session id. The map is mutated in place, because many rows change together; `rowsRevision` signals it. */
export const rows = new Map();
/** Increases once per frame in which rows have changed. */
export const rowsRevision = signal(0);
/** Whether the complete list has arrived. */
export const rowsKnown = signal(false);
/** Increases each time the complete list arrives: after opening it or changing its filter. */
export const rowsWhole = signal(0);

// ---- one session, health, dead letters -------------------------------------------------------------------------------

/** The displayed session as last received; null while unknown. */
export const session = signal(null);
/** Its timeline entries, oldest first. */
export const moments = signal([]);
export const agents = signal(null);
export const health = signal(null);
export const dead = signal(null);
/** Number of dead letters from the last message that had it; null before the first. */
export const deadCount = signal(null);

/** Commands submitted on this page, newest first: command (its id), type, session, status, reason, fields, atMs. */
export const commands = signal([]);

// ---- the user's choices ----------------------------------------------------------------------------------------------

/** Whether to show full phone numbers. Not persisted: a reload masks them again. */
export const full = signal(false);
/** Since when the list is paused; null if it isn't. */
export const pausedSince = signal(null);
/** Whether timelines show the newest entry first. */
export const newestFirst = signal(kept("newest-first") === "true");
effect(() => keep("newest-first", String(newestFirst.value)));

/** A choice that this browser keeps; null for none. */
export function kept(name) {
  return browser.kept(`conferral-console.${name}`);
}

export function keep(name, value) {
  browser.keep(`conferral-console.${name}`, value);
}

// ---- messages --------------------------------------------------------------------------------------------------------

let frame = 0;

/** Schedules one rerender for the next frame, however many messages arrive until then. */
function touchRows() {
  // A hidden page gets no frames, and needs no rendering.
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    rowsRevision.value += 1;
  });
}

/** Applies a rows message. */
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

/** Applies a log message: new and updated entries; a complete log replaces all. */
export function applyLog(message) {
  const byId = new Map(message.whole ? [] : moments.value.map((moment) => [moment.entry, moment]));
  for (const moment of message.entries) {
    byId.set(moment.entry, moment);
  }
  moments.value = [...byId.values()].sort(byEntry);
}

/** Entry ids are a time and a sequence number, which compare as strings only at equal length. */
function byEntry(one, other) {
  const [oneMs, oneNumber] = one.entry.split("-").map(Number);
  const [otherMs, otherNumber] = other.entry.split("-").map(Number);
  return oneMs - otherMs || oneNumber - otherNumber;
}

/** Applies a command's status. A final status never changes, and a missing response never replaces a known status. */
export function applyCommand(update) {
  const known = commands.value.find((one) => one.command === update.command);
  if (known && ((isFinal(known.status) && !isFinal(update.status)) || update.status === UNANSWERED)) {
    return;
  }
  const type = update.type || known?.type || "";
  // Redis stores no session for a command that was rejected early.
  const session = update.session || known?.session || "";
  const one = { ...known, ...update, type, session, atMs: known?.atMs ?? Date.now() };
  commands.value = [one, ...commands.value.filter((other) => other.command !== update.command)]
    .sort((a, b) => b.atMs - a.atMs)
    .slice(0, COMMANDS_KEPT);
}

/** Whether a command's status is final. */
export function isFinal(status) {
  return status === "done" || status === "failed" || status === "rejected";
}

/** Whether a command has not done what it was sent for. */
export const hasFailed = ({ status }) => status === "failed" || status === "rejected";

/** Clears the displayed session, before another one is displayed. */
export function resetSession() {
  batch(() => {
    session.value = null;
    moments.value = [];
  });
}

/** Clears everything received from the server, after signing out. */
export function resetAll() {
  batch(() => {
    rows.clear();
    rowsKnown.value = false;
    rowsRevision.value += 1;
    summary.value = null;
    agents.value = null;
    health.value = null;
    dead.value = null;
    deadCount.value = null;
    commands.value = [];
    full.value = false;
    keep("list", ""); // it may contain a phone number from the search
    keep("listener", "");
    resetSession();
  });
}
