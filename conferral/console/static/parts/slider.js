// Slider through a session's versions.

import { useSignal } from "@preact/signals";
import { html } from "htm/preact";
import { useEffect, useRef } from "preact/hooks";

/** Minimum interval between requests while the slider moves, in milliseconds. */
const ASK_EVERY_MS = 120;

/**
 * @param {object} props
 * @param {object[]} props.moments Oldest first.
 * @param {number | null} props.asOf The displayed version; null for the newest.
 * @param {(version: number | null) => void} props.onSelect
 */
export function Slider({ moments, asOf, onSelect }) {
  const moving = useSignal(null);
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  useEffect(() => {
    moving.value = null;
  }, [asOf]);
  if (moments.length < 2) {
    return null;
  }
  const last = moments.length - 1;
  const selected = asOf === null ? last : Math.max(0, moments.findLastIndex((moment) => moment.version <= asOf));
  const place = moving.value ?? selected;
  const select = (next) => {
    moving.value = next;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onSelect(next >= last ? null : moments[next].version), ASK_EVERY_MS);
  };
  const text = place >= last ? "now" : `version ${moments[place].version}`;
  return html`<div class="slider">
    <label for="as-of" class="small">State at</label>
    <input
      id="as-of"
      type="range"
      min="0"
      max=${last}
      value=${place}
      aria-valuetext=${text}
      onInput=${(event) => select(Number(event.target.value))}
    />
    <output for="as-of" class="small number">${text}</output>
  </div>`;
}
