// Store: the sandbox's state and the user's choices, as signals.

import { computed, signal } from "@preact/signals";

/**
 * The connection: `state` is connecting, open, or lost; `sinceMs` its start, `retryMs` the time of the next attempt.
 */
export const link = signal({ state: "connecting", sinceMs: Date.now(), retryMs: 0 });
export const hello = signal(null);
export const phones = signal([]);
/** Number of phones not shown. */
export const more = signal(0);
/** Sentences: who hears whom. */
export const sentences = signal([]);
export const numbers = signal([]);
export const rooms = signal([]);
/** What callers left on voicemail, newest first. */
export const messages = signal([]);
export const faults = signal({ to_come: [], rates: {} });
/** Newest first. */
export const deliveries = signal([]);
export const requests = signal([]);
export const debug = signal([]);

/** What the page shows: all phones, or the one named after `#phone=` in the URL. */
export const only = signal(fromAddress());
addEventListener("hashchange", () => {
  only.value = fromAddress();
});

function fromAddress() {
  return new URLSearchParams(location.hash.slice(1)).get("phone") ?? "";
}

/** Returns the URL of a phone's own tab. */
export function tabOf(address) {
  return `#phone=${encodeURIComponent(address)}`;
}

/** Delay in seconds, for everything that can be delayed. */
export const lateS = kept("phones.late_s", 5);
/** Whether the guide is open; initially on screens where the phones remain visible. */
export const guided = kept("phones.guided", matchMedia("(min-width: 64rem)").matches);

/** Returns a signal that this browser persists. */
function kept(name, usual) {
  const choice = signal(usual);
  try {
    choice.value = JSON.parse(localStorage.getItem(name)) ?? usual;
  } catch {
    // No storage, or an invalid value: use the default.
  }
  choice.subscribe((value) => {
    try {
      localStorage.setItem(name, JSON.stringify(value));
    } catch {
      // Lost when the tab closes.
    }
  });
  return choice;
}

/** All live calls, with their phones. */
export const legs = computed(() => phones.value.flatMap((phone) => phone.legs.map((leg) => ({ ...leg, phone }))));

/**
 * Merges an incremental list update: `entries` are new or changed; older ones than `first` are dropped.
 *
 * @param {import("@preact/signals").Signal<object[]>} list
 * @param {{ whole: boolean, first: number, entries: object[] }} message
 */
export function takeList(list, { whole: isWhole, first, entries }) {
  const known = new Map(isWhole ? [] : list.value.map((entry) => [entry.number, entry]));
  for (const entry of entries) {
    known.set(entry.number, entry);
  }
  list.value = [...known.values()].filter((entry) => entry.number >= first).sort((a, b) => b.number - a.number);
}
