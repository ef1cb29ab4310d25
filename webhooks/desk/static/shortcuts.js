// Keys for what an agent does most. They click the buttons, so what is not possible says why here, too.

import { signal } from "./shared/vendor/preact-signals-core.mjs";
import { keep, kept } from "./shared/kept.js";

const STORED = "conferral-desk-shortcuts";

/** Each key, as `KeyboardEvent.key`: the button's place, how the key is written, and what it does. */
export const SHORTCUTS = {
  a: ["answer", "A", "Answer"],
  h: ["hold", "H", "Hold or unhold the caller"],
  m: ["mute", "M", "Mute or unmute yourself"],
  X: ["hang-up", "Shift X", "Hang up"],
  "?": ["shortcuts", "?", "Show these keys"],
};

export class Shortcuts {
  isOn = signal(false);

  start(root, isDefault, over) {
    this.isOn.value = (kept(STORED) ?? String(isDefault)) === "true";
    const pressed = (event) => {
      const [place] = SHORTCUTS[event.key] ?? [];
      const isTyping = event.composedPath()[0].matches?.("input:not([type=checkbox]), select, textarea, [contenteditable]");
      if (place && this.isOn.value && !isTyping && !event.repeat && !event.ctrlKey && !event.metaKey && !event.altKey) {
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
