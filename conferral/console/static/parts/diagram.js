// The state diagram: highlights the current state, and the last transition.

import { signal } from "@preact/signals";
import { html } from "htm/preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import { Text } from "../shared/text.js";
import { Time } from "../shared/time.js";

/** The diagram, fetched once: an SVG element; null until then, or if that failed. */
const drawing = signal(null);
const failed = signal("");
let asked = false;

async function fetchOnce() {
  if (asked) {
    return;
  }
  asked = true;
  try {
    const response = await fetch(new URL("./diagram.svg", document.baseURI));
    const text = response.ok ? await response.text() : "";
    const root = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
    if (root.localName !== "svg") {
      throw new TypeError(`HTTP ${response.status}`);
    }
    drawing.value = root;
  } catch (error) {
    asked = false; // the next opened session tries again
    failed.value = `The diagram can't be loaded: ${error.message}`;
  }
}

/**
 * The diagram.
 *
 * @param {{ state: string, move: object | undefined }} props `move`: the entry with the last state change.
 */
export function Diagram({ state, move }) {
  const box = useRef(null);
  const from = move ? move.from || "start" : "";
  useEffect(() => void fetchOnce(), []);
  useLayoutEffect(() => {
    if (drawing.value && box.current && !box.current.firstChild) {
      box.current.append(document.importNode(drawing.value, true));
    }
    if (box.current?.firstChild) {
      highlight(box.current, state, from);
    }
  });
  return html`
    ${drawing.value
      ? html`<div class="diagram" ref=${box}></div>`
      : html`<p class="muted small">${failed.value || "Loading the diagram…"}</p>`}
    ${move
      ? html`<p class="small muted">
          ${move.from || "new"} → ${move.to} <${Time} at=${move.at} />: <${Text} value=${move.what} />
        </p>`
      : null}
  `;
}

function highlight(box, state, from) {
  for (const one of box.querySelectorAll(".state, .edge")) {
    const isCurrent = one.id === `state-${state}`;
    one.classList.toggle("is-current", isCurrent);
    one.classList.toggle("is-last", one.id === (from === "start" ? "edge-start" : `edge-${from}-${state}`));
    if (one.classList.contains("state")) {
      isCurrent ? one.setAttribute("aria-current", "true") : one.removeAttribute("aria-current");
    }
  }
}
