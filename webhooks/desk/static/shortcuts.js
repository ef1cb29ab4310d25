// Keys for what an agent does most. They click the buttons, so what is not possible says why here, too.

import { signal } from "./shared/vendor/preact-signals-core.mjs";
import { keep, kept } from "./shared/kept.js";
import { keyOf } from "./shared/pressed.js";

const STORED = "conferral-desk-shortcuts";

/** The button's place, how the key is written, and what it does. One that ends a call needs Shift itself: Caps Lock is none. */
export const SHORTCUTS = {
  a: ["answer", "A", "Answer"],
  h: ["hold", "H", "Hold or unhold the caller"],
  m: ["mute", "M", "Mute or unmute yourself"],
  "Shift x": ["hang-up", "Shift X", "Hang up"],
  "?": ["shortcuts", "?", "Show these keys"],
};
const FIELDS = "input:not([type=checkbox]), select, textarea";
/** What can have the focus in the page around the desk, and is no field: an element that isn't known may have one in a closed tree. */
const NO_FIELDS = "html, body, a, button, summary";

export class Shortcuts {
  isOn = signal(false);

  /** Without `isOfPage`, they act only while the focus is in the desk. */
  start(root, isOfPage, over) {
    this.isOn.value = (kept(STORED) ?? String(isOfPage)) === "true";
    const pressed = (event) => {
      const [target, key] = [event.composedPath()[0], keyOf(event)];
      const [place] = SHORTCUTS[event.shiftKey && key !== "?" ? `Shift ${key}` : key] ?? [];
      const isFree = root.contains(target) ? !target.matches(FIELDS) : isOfPage && target.matches?.(NO_FIELDS) && !target.isContentEditable;
      if (place && this.isOn.value && isFree && !event.isComposing && !event.repeat && !event.ctrlKey && !event.metaKey && !event.altKey) {
        root.querySelector(`[data-key="${place}"]`)?.click();
      }
    };
    addEventListener("keydown", pressed, { signal: over });
  }

  choose(isOn) {
    this.isOn.value = isOn;
    keep(STORED, String(isOn));
  }
}
