// Moments as people read them: the local time of day and how long ago it was. What comes from outside is ISO 8601, UTC.

import { signal } from "@preact/signals";
import { html } from "htm/preact";

/** By how much the server's clock is ahead of this machine's, milliseconds. */
let aheadMs = 0;

/** The server's time, Unix milliseconds. It moves once a second; whoever reads it in a component is drawn again. */
export const now = signal(Date.now());

const move = () => {
  now.value = Date.now() + aheadMs;
};
setInterval(move, 1000);
// A hidden page's timers run seldom: ages are right again as soon as somebody looks.
document.addEventListener("visibilitychange", move);

/**
 * The server has told its time. Ages and what is left until something comes are counted by it.
 *
 * @param {unknown} time ISO 8601 or Unix milliseconds.
 */
export function setClock(time) {
  const serverMs = toMs(time);
  if (serverMs === null) {
    return;
  }
  const ahead = serverMs - Date.now();
  // A message may take a moment: the clock isn't turned to and fro by it, nor back.
  if (Math.abs(ahead - aheadMs) > 250) {
    aheadMs = ahead;
    move();
  }
}

/** The server's time at this very moment, Unix milliseconds; nothing is drawn again because of it. */
export function nowMs() {
  return Date.now() + aheadMs;
}

/**
 * A moment in Unix milliseconds; null for none.
 *
 * @param {unknown} time ISO 8601 or Unix milliseconds, of which 0 is none.
 * @returns {number | null}
 */
export function toMs(time) {
  const found = typeof time === "number" ? time : Date.parse(String(time ?? ""));
  return Number.isFinite(found) && found > 0 ? found : null;
}

const two = (value) => String(value).padStart(2, "0");

/**
 * The local time of day, with the date where it is another day: "14:02:11", "19 Nov 14:02:11".
 *
 * @param {unknown} time
 * @param {boolean} [fine] With milliseconds.
 * @returns {string} Empty for no time.
 */
export function clock(time, fine = false) {
  const at = toMs(time);
  if (at === null) {
    return "";
  }
  const date = new Date(at);
  const day = new Date(nowMs()).toDateString() === date.toDateString();
  const when = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const text = fine ? `${when}.${String(date.getMilliseconds()).padStart(3, "0")}` : when;
  return day ? text : `${date.getDate()} ${date.toLocaleString("en", { month: "short" })} ${text}`;
}

/**
 * How long something is: "59 s", "1 min 05 s", "1 h 01 min", "3 days".
 *
 * @param {number} durationMs Milliseconds; less than nothing is nothing.
 * @returns {string}
 */
export function span(durationMs) {
  const total = Math.floor(Math.max(0, durationMs) / 1000);
  if (total < 60) {
    return `${total} s`;
  }
  const minutes = Math.floor(total / 60);
  if (minutes < 60) {
    return `${minutes} min ${two(total % 60)} s`;
  }
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${two(minutes % 60)} min` : `${Math.floor(hours / 24)} days`;
}

/**
 * A short while, exactly: "340 ms", "1.25 s", "12.3 s", "2 min 05 s".
 *
 * @param {number} durationMs Milliseconds.
 * @returns {string}
 */
export function shortSpan(durationMs) {
  if (durationMs < 1000) {
    return `${Math.round(durationMs)} ms`;
  }
  if (durationMs < 60000) {
    return `${(durationMs / 1000).toFixed(durationMs < 10000 ? 2 : 1)} s`;
  }
  return span(durationMs);
}

/**
 * How long ago a moment was, by the server's clock.
 *
 * @param {unknown} time
 * @returns {string} Empty for no time.
 */
export function age(time) {
  const at = toMs(time);
  return at === null ? "" : span(now.value - at);
}

/** ISO 8601 in UTC; empty for no time. */
export function utc(time) {
  const at = toMs(time);
  return at === null ? "" : new Date(at).toISOString();
}

/**
 * A moment: its local time, its age, or both; UTC on hover and for machines.
 *
 * @param {{ at: unknown, as?: "clock" | "fine" | "age" | "both" }} props
 */
export function Time({ at, as = "both" }) {
  const iso = utc(at);
  if (!iso) {
    return null;
  }
  const text = {
    clock: () => clock(at),
    fine: () => clock(at, true),
    age: () => age(at),
    both: () => `${clock(at)}, ${age(at)} ago`,
  }[as]();
  return html`<time datetime=${iso} title=${iso}>${text}</time>`;
}
