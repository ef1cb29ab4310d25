// Who waits in queues, by our number; and a tone for each caller who begins to wait, off until switched on.

import { computed, effect, signal } from "@preact/signals";
import { html } from "htm/preact";

import { to } from "../route.js";
import { Icon } from "../shared/icon.js";
import { Text } from "../shared/text.js";
import { now, timer, toMs } from "../shared/time.js";
import { keep, kept, rows, rowsRevision, summary } from "../store.js";
import { LONG_MS } from "./row.js";

/** The tone: its pitch (Hz), how long it sounds (s), and its volume. */
const TONE_HZ = 660;
const TONE_S = 0.4;
const VOLUME = 0.1;

/** Each number with the callers who wait for it, who waits longest first. */
const queues = computed(() => {
  void rowsRevision.value;
  const found = new Map();
  for (const { digits, number, queued_since: since } of rows.values()) {
    if (since) {
      // Masked, two numbers may look the same.
      const key = `${number} ${digits[0]}`;
      const known = found.get(key) ?? { key, number, find: digits[0], count: 0, since };
      found.set(key, { ...known, count: known.count + 1, since: since < known.since ? since : known.since });
    }
  }
  return [...found.values()].sort((one, other) => (one.since < other.since ? -1 : 1));
});

/** A line for each number for which callers wait. */
export function Queues() {
  return queues.value.length
    ? html`<ul class="queues" aria-label="Waiting callers">
        ${queues.value.map(({ key, ...queue }) => html`<li key=${key}><${Queue} ...${queue} /></li>`)}
      </ul>`
    : null;
}

function Queue({ number, find, count, since }) {
  const waitedMs = now.value - toMs(since);
  return html`<a class=${waitedMs < LONG_MS ? "wait" : "wait is-long"} href=${to("sessions", "", { state: "queued", sort: "waiting", find })}>
    <${Icon} name="hourglass" /><span><${Text} value=${number} />: ${count} ${count === 1 ? "waits" : "wait"}, longest ${timer(waitedMs)}</span>
  </a>`;
}

const isOn = signal(kept("queue-sound") === "true");
effect(() => keep("queue-sound", String(isOn.value)));

/** Since when the newest caller has waited, also once they wait no more; null before the first summary. */
let newest = null;
let context = null;

effect(() => {
  const since = summary.value?.counts.newest_queued_since;
  const isNew = newest !== null && since > newest;
  if (isNew && isOn.peek()) {
    play();
  }
  if (isNew || newest === null || since === undefined) {
    newest = since ?? null;
  }
});

/** Browsers allow sound only after a click; a tone that waits for one would say nothing of now. */
function play() {
  if (navigator.userActivation?.hasBeenActive === false || !("AudioContext" in globalThis)) {
    return;
  }
  context ??= new AudioContext();
  void context.resume().catch(() => {});
  const gain = new GainNode(context, { gain: VOLUME });
  const tone = new OscillatorNode(context, { frequency: TONE_HZ });
  tone.connect(gain).connect(context.destination);
  tone.start();
  tone.stop(context.currentTime + TONE_S);
}

/** Switches the tone on, and plays it once. */
export function SoundSwitch() {
  const toggle = () => {
    isOn.value = !isOn.value;
    if (isOn.value) {
      play();
    }
  };
  return html`<button type="button" class="sound" aria-label="Sound for waiting callers" aria-pressed=${isOn.value} title="Play a tone when a caller begins to wait in a queue" onClick=${toggle}>
    <${Icon} name="bell" /><span>Sound</span>
  </button>`;
}
