// What the sandbox has told, as signals, and what somebody has chosen on this page.

import { computed, signal } from "@preact/signals";

/** The connection: `state` is connecting, open or lost; `sinceMs` since when, `retryMs` when it is tried again. */
export const link = signal({ state: "connecting", sinceMs: Date.now(), retryMs: 0 });
export const hello = signal(null);
export const phones = signal([]);
/** How many phones are not shown. */
export const more = signal(0);
/** Sentences: who hears whom. */
export const everybody = signal([]);
export const numbers = signal([]);
export const rooms = signal([]);
export const faults = signal({ to_come: [], rates: {} });
/** Seconds alone and in silence, with the moment of this page's clock at which they were told. */
export const alone = signal(null);
/** A line from the person who runs the sandbox; empty for none. */
export const notice = signal("");
/** Newest first. */
export const deliveries = signal([]);
export const requests = signal([]);
export const debug = signal([]);

/** What the page shows: all phones, or the one that the address names after `#phone=`. */
export const only = signal(fromAddress());
addEventListener("hashchange", () => {
  only.value = fromAddress();
});

function fromAddress() {
  return new URLSearchParams(location.hash.slice(1)).get("phone") ?? "";
}

/** The address of a phone's own tab. */
export function tabOf(address) {
  return `#phone=${encodeURIComponent(address)}`;
}

/** Whether phone numbers are shown whole. */
export const whole = kept("phones.whole", false);
/** How late is late, seconds. */
export const lateS = kept("phones.late_s", 5);
/** Whether the five steps are open: at first where the phones are beside or in sight below them. */
export const guided = kept("phones.guided", matchMedia("(min-width: 40rem)").matches);

/** A choice that this browser remembers. */
function kept(name, usual) {
  const choice = signal(usual);
  try {
    choice.value = JSON.parse(localStorage.getItem(name)) ?? usual;
  } catch {
    // No storage, or not of ours: as usual.
  }
  choice.subscribe((value) => {
    try {
      localStorage.setItem(name, JSON.stringify(value));
    } catch {
      // It is forgotten with the tab.
    }
  });
  return choice;
}

/** Every call that is not over, with the phone that it belongs to. */
export const legs = computed(() => phones.value.flatMap((phone) => phone.legs.map((leg) => ({ ...leg, phone }))));

/**
 * Takes in a list that comes piece by piece: `entries` are new or have changed, older ones than `first` are left out.
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
