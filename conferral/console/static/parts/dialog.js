// A modal dialog. Esc closes it and does nothing else.

import { html } from "htm/preact";
import { useEffect, useRef } from "preact/hooks";

/** @param {{ title: string, onClose: () => void, children: unknown }} props */
export function Dialog({ title, onClose, children }) {
  const element = useRef(null);
  useEffect(() => {
    const dialog = element.current;
    dialog.showModal();
    // Focus the first input; without one, the safe button.
    (dialog.querySelector("form input") ?? dialog.querySelector(".form-end button"))?.focus();
    return () => dialog.close(); // returns the focus to where it was
  }, []);
  return html`<dialog ref=${element} aria-labelledby="dialog-title" onClose=${onClose}>
    <div class="dialog-head">
      <h2 id="dialog-title">${title}</h2>
      <button type="button" aria-label="Close" onClick=${onClose}>×</button>
    </div>
    ${children}
  </dialog>`;
}
