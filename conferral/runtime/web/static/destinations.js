// Whom to call: names with who is ready, which typing narrows, or a number. The desk and the console have the same field.

import { html } from "./html.js";
import { Text } from "./text.js";

/** How a call is handed over. */
export const MODES = { consult: "Consult", warm: "Add to call", blind: "Transfer and leave" };
/** Why nothing can be sent yet. */
export const CHOOSE = "choose a name, or type a number with its plus";
/** What people read of a status, in the order in which names are offered; the empty one is of who has no desk. */
const STATUSES = { ready: "ready", busy: "on a call", "": "", away: "away" };
const RANKS = Object.keys(STATUSES);
/** What may be called besides names. */
const ADDRESS = /^(\+[\d ().-]{4,}|client:\w+|sip:\S+)$/;

const rank = ({ status }) => RANKS.indexOf(status ?? "");

/** @param {{ name: string, status: string | null }[]} names Who is ready comes first. */
export const inOrder = (names) => names.toSorted((one, other) => rank(one) - rank(other));

/** What a text stands for: a name, whatever its case, and where it has `to`, that; or an address; empty for neither. */
export function destinationOf(text, names) {
  const wanted = text.trim();
  const found = names.find(({ name }) => name.toLowerCase() === wanted.toLowerCase());
  return found?.to ?? found?.name ?? (ADDRESS.test(wanted) ? wanted : "");
}

/**
 * The field and the names below it. Enter takes the first match, or the one that the arrows have reached.
 *
 * @param {{
 *   text: string, active: number, names: { name: string, status: string | null }[],
 *   onChange: (text: string, active: number) => void, onEnter: () => void, focus?: Function,
 * }} props `onEnter` is called once there is a destination.
 */
export function DestinationField({ text, active, names, onChange, onEnter, focus }) {
  const destination = destinationOf(text, names);
  const shown = names.filter(({ name }) => name.toLowerCase().includes(text.trim().toLowerCase()));
  const onKeyDown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && shown.length) {
      event.preventDefault();
      onChange(text, (active + step + (step < 0 && active < 0 ? 1 : 0) + shown.length) % shown.length);
    } else if (event.key === "Enter" && !event.repeat) {
      event.preventDefault();
      const found = shown[active] ?? (text.trim() && !destination ? shown[0] : undefined);
      if (found) {
        onChange(found.name, -1);
      }
      if (found || destination) {
        onEnter();
      }
    }
  };
  return html`
    <label for="to" class="unseen">To</label>
    <input
      id="to"
      ref=${focus}
      value=${text}
      placeholder="Name or +number"
      autocomplete="off"
      spellcheck=${false}
      role="combobox"
      aria-expanded=${shown.length > 0}
      aria-controls="names"
      aria-autocomplete="list"
      aria-activedescendant=${shown[active] ? `name-${active}` : undefined}
      onInput=${(event) => onChange(event.currentTarget.value, -1)}
      onKeyDown=${onKeyDown}
    />
    <ul id="names" class="names" role="listbox" aria-label="Directory" tabindex="-1">
      ${shown.map(
        ({ name, status }, place) => html`<li
          key=${name}
          id=${`name-${place}`}
          role="option"
          aria-selected=${place === active || name.toLowerCase() === text.trim().toLowerCase()}
          ref=${place === active ? (element) => element?.scrollIntoView({ block: "nearest" }) : undefined}
          onClick=${() => onChange(name, -1)}
        >
          <${Text} value=${name} />
          ${status ? html`<span class="small muted"><span class=${`dot is-${status}`} aria-hidden="true"></span> <${Text} value=${STATUSES[status] ?? status} /></span>` : null}
        </li>`,
      )}
    </ul>
  `;
}
