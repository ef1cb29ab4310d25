// Times for display: local time of day and age. Input is ISO 8601, UTC.

import { signal } from "./vendor/preact-signals-core.mjs";
import { html } from "./html.js";

/** How far the server's clock is ahead of this machine's, milliseconds. */
let aheadMs = 0;

/** The server's time, Unix milliseconds. Updates once a second and rerenders the components that read it. */
export const now = signal(Date.now());

const move = () => {
  now.value = Date.now() + aheadMs;
};
setInterval(move, 1000);
// A hidden page's timers are throttled: update ages as soon as the page is visible again.
document.addEventListener("visibilitychange", move);

/**
 * Set the server's time; ages and countdowns use it.
 *
 * @param {unknown} time ISO 8601 or Unix milliseconds.
 */
export function setClock(time) {
  const serverMs = toMs(time);
  if (serverMs === null) {
    return;
  }
  const ahead = serverMs - Date.now();
  // Messages have latency: ignore small differences, so that the clock does not jump back and forth.
  if (Math.abs(ahead - aheadMs) > 250) {
    aheadMs = ahead;
    move();
  }
}

/** The server's current time, Unix milliseconds; does not cause a rerender. */
export function nowMs() {
  return Date.now() + aheadMs;
}

/**
 * Parse a time to Unix milliseconds; null for none.
 *
 * @param {unknown} time ISO 8601 or Unix milliseconds; 0 means none.
 * @returns {number | null}
 */
export function toMs(time) {
  const found = typeof time === "number" ? time : Date.parse(String(time ?? ""));
  return Number.isFinite(found) && found > 0 ? found : null;
}

const two = (value) => String(value).padStart(2, "0");

/**
 * The local time of day, with the date unless it is today: "14:02:11", "19 Nov 14:02:11".
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
 * A duration: "59 s", "1 min 05 s", "1 h 01 min", "3 days".
 *
 * @param {number} durationMs Milliseconds; negative counts as 0.
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
 * A short duration, precisely: "340 ms", "1.25 s", "12.3 s", "2 min 05 s".
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
 * The age of a time, by the server's clock.
 *
 * @param {unknown} time
 * @returns {string} Empty for no time.
 */
export function age(time) {
  const at = toMs(time);
  return at === null ? "" : span(now.value - at);
}

/** A duration as a phone shows it: `1:32`, `1:02:05`. */
export function timer(durationMs) {
  const total = Math.max(0, Math.floor(durationMs / 1000));
  const [hours, minutes] = [Math.floor(total / 3600), Math.floor(total / 60) % 60];
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(total % 60)}`;
}

/** ISO 8601 in UTC; empty for no time. */
export function utc(time) {
  const at = toMs(time);
  return at === null ? "" : new Date(at).toISOString();
}

/**
 * A time element: local time, age, or both; UTC on hover and in `datetime`.
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
