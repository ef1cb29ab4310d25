// Keys: one function for the page, and what each view adds. No key alone changes a call.

import { signal } from "@preact/signals";

import { go } from "./route.js";

/** How long the second key of two may take, milliseconds. */
const SECOND_KEY_MS = 1500;

/** Whether the list of keys is shown. */
export const helpShown = signal(false);

/** All keys, for the list that `?` shows. */
export const KEYS = [
  ["?", "this list"],
  ["/", "search sessions"],
  ["j, k, ↓, ↑", "next and previous row"],
  ["Home, End", "first and last row"],
  ["Enter", "open the row"],
  ["Esc", "close, clear the search, or back to the list"],
  ["g s", "go to the sessions"],
  ["g a", "go to the agents"],
  ["g h", "go to health"],
  ["g d", "go to the dead letters"],
  ["p", "in the list: hold it still, or let it go on"],
];

const PLACES = { s: "sessions", a: "agents", h: "health", d: "dead" };

/** What the view that is shown does with keys, by key. */
let ofView = {};
let secondUntilMs = 0;

/**
 * Sets the keys of a view, until the function that is returned is called.
 *
 * @param {Record<string, (event: KeyboardEvent) => void>} keys
 * @returns {() => void}
 */
export function useKeys(keys) {
  ofView = keys;
  return () => {
    if (ofView === keys) {
      ofView = {};
    }
  };
}

/** Begins to listen. */
export function start() {
  addEventListener("keydown", (event) => {
    // The browser's own keys, and a dialog's, are left to them.
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog[open]")) {
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
  const { key } = event;
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
  // What has the focus takes its own keys: Enter follows a link, Space presses a button, arrows move a slider.
  const isControl = event.target.matches?.("a, button, summary, input");
  if (isControl && (key === "Enter" || (key === " " && !event.target.matches("a")))) {
    return null;
  }
  if (event.target.matches?.("input[type=range]") && key !== "Escape") {
    return null;
  }
  return ofView[key] ?? (key === "/" ? searchElsewhere : null);
}

/** The search belongs to the list: elsewhere its key leads there first. */
function searchElsewhere() {
  go("sessions");
  // After the list is there.
  setTimeout(() => document.getElementById("search")?.focus(), 100);
}
