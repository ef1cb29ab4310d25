// Keyboard shortcuts: global ones, and those of each view. No single key changes a call.

import { signal } from "@preact/signals";
import { useLayoutEffect } from "preact/hooks";

import { go } from "./route.js";
import { keyOf } from "./shared/pressed.js";

/** Timeout for the second key of a sequence, in milliseconds. */
const SECOND_KEY_MS = 1500;

/** Whether the list of keys is shown. */
export const helpShown = signal(false);

/** All keys, for the list that `?` shows. */
export const KEYS = [
  ["?", "show this help"],
  ["/", "search"],
  ["j, k, ↓, ↑", "next and previous row"],
  ["Home, End", "first and last row"],
  ["Enter", "open the row"],
  ["Esc", "close what is open, or clear the search"],
  ["g s", "go to calls"],
  ["g a", "go to agents"],
  ["g r", "go to the report"],
  ["g h", "go to health"],
  ["g d", "go to dead letters"],
  ["p", "in the list: pause or resume updates"],
];

const PLACES = { s: "sessions", a: "agents", r: "report", h: "health", d: "dead" };

/** The current view's handlers, by key. */
let ofView = {};
let secondUntilMs = 0;

/**
 * Registers a view's keys while the view is shown.
 *
 * A layout effect, since a key may arrive between a render and the paint after it.
 *
 * @param {Record<string, (event: KeyboardEvent) => void>} keys
 * @param {unknown[]} inputs What the handlers depend on, as in `useEffect`.
 */
export function useKeys(keys, inputs) {
  useLayoutEffect(() => {
    ofView = keys;
    return () => {
      ofView = {};
    };
  }, inputs);
}

/** Starts listening. */
export function start() {
  addEventListener("keydown", (event) => {
    // Leave the browser's own keys, and a dialog's, alone.
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog[open]")) {
      return;
    }
    const isTyping = event.target.matches?.("input:not([type=checkbox], [type=range]), select, textarea");
    if (isTyping && event.key !== "Escape") {
      return;
    }
    const action = actionOf(event);
    if (action) {
      event.preventDefault();
      action(event);
    }
  });
}

function actionOf(event) {
  const key = keyOf(event);
  if (secondUntilMs > Date.now()) {
    secondUntilMs = 0;
    if (PLACES[key]) {
      return () => go(PLACES[key]);
    }
  }
  if (key === "g") {
    return () => {
      secondUntilMs = Date.now() + SECOND_KEY_MS;
    };
  }
  if (key === "?") {
    return () => {
      helpShown.value = true;
    };
  }
  // A focused control handles its own keys: Enter follows a link, Space presses a button, arrows move a slider.
  const isControl = event.target.matches?.("a, button, summary, input");
  if (isControl && (key === "Enter" || (key === " " && !event.target.matches("a")))) {
    return null;
  }
  if (event.target.matches?.("input[type=range]") && key !== "Escape") {
    return null;
  }
  return ofView[key] ?? (key === "/" ? searchElsewhere : null);
}

/** The search belongs to the list: its key opens the list first. */
function searchElsewhere() {
  go("sessions");
  // Preact renders the list in a microtask, so this one comes after it, and before the next key.
  queueMicrotask(() => document.getElementById("search")?.focus());
}
