// A command's form: its fields, a warning about its effect, and the equivalent command lines.

import { useSignal } from "@preact/signals";
import { html } from "htm/preact";
import { useMemo } from "preact/hooks";

import { RefusedError, giveCommand, intendedCommand, press, pressed } from "../actions.js";
import { cliLine, curlLine } from "../command-lines.js";
import { hello, session } from "../store.js";
import { Text } from "../shared/text.js";
import { Dialog } from "./dialog.js";
import { CommandLine } from "./command-line.js";

const LABELS = {
  to: "To",
  mode: "Mode",
  action: "Action",
  party: "Party",
  say: "Say",
  url: "Or play audio from a URL",
  brief: "Message for the dialed party",
  confirm: "Dialed party must press 1",
  timeout: "Ring time (seconds)",
  digits: "Digits to send after answer (DTMF)",
  caller_id: "Caller ID",
};
const HINTS = {
  destination: "+E.164, client:NAME, sip:URI, or a name from the directory; separate multiple values with commas",
  seconds: "5 to 600",
  digits: "0-9, *, #; w pauses for half a second, W for one",
  caller_id: "+E.164; must be one of the account's numbers",
};
/** Rarely used fields. */
const SELDOM = new Set(["brief", "confirm", "timeout", "digits", "caller_id"]);

/**
 * @param {object} props
 * @param {string} props.id The session's id.
 * @param {object} props.button The command.
 * @param {string} props.why Why it is disabled, which may happen while the form is open.
 * @param {Record<string, string>} props.filledIn Initial values, from an earlier submission.
 * @param {() => void} props.onClose
 */
export function CommandForm({ id, button, why, filledIn, onClose }) {
  const values = useSignal({ ...firstValues(button), ...filledIn });
  const failure = useSignal("");
  const idOf = useMemo(intendedCommand, []); // for as long as the form is open
  const name = `${id} ${button.type}`;
  const fields = { type: button.type, session: id, ...filled(button, values.value) };
  const submit = async (event) => {
    event.preventDefault();
    if (why || !press(name)) {
      return;
    }
    try {
      await giveCommand(fields, idOf(fields));
      onClose();
    } catch (error) {
      if (!(error instanceof RefusedError)) {
        throw error;
      }
      failure.value = error.message;
    }
  };
  const set = (field, value) => {
    values.value = { ...values.value, [field]: value };
  };
  const often = button.fields.filter((field) => !SELDOM.has(field.name));
  const seldom = button.fields.filter((field) => SELDOM.has(field.name));
  const input = (field) => html`<${Input} key=${field.name} field=${field} value=${values.value[field.name]} onChange=${set} />`;
  return html`<${Dialog} title=${button.label} onClose=${onClose}>
    <form onSubmit=${submit} class="form">
      ${button.danger ? html`<p class="danger-words"><strong><${Text} value=${button.danger} />.</strong></p>` : null}
      ${often.map(input)}
      ${seldom.length ? html`<details><summary>Options</summary><div class="form">${seldom.map(input)}</div></details>` : null}
      <${Lines} fields=${fields} />
      <div role="alert">${failure.value ? html`<p class="error"><${Text} value=${failure.value} /></p>` : null}</div>
      ${why ? html`<p class="error" id="form-why">Not available now: <${Text} value=${why} /></p>` : null}
      <div class="form-end">
        <button type="button" onClick=${onClose}>Cancel</button>
        <button
          type="submit"
          class=${button.danger ? "main danger" : "main"}
          aria-disabled=${Boolean(why) || pressed.value.has(name)}
          aria-describedby=${why ? "form-why" : undefined}
        >
          ${button.label}
        </button>
      </div>
    </form>
  <//>`;
}

function firstValues(button) {
  // No mode is preselected: blind and warm differ too much for a default that someone confirms by habit.
  const first = ({ name, kind, options, required }) =>
    required && kind !== "destination" && name !== "mode" && options.length ? options[0] : "";
  return Object.fromEntries(button.fields.map((field) => [field.name, first(field)]));
}

/** Returns the nonempty fields. */
function filled(button, values) {
  return Object.fromEntries(
    button.fields.map(({ name }) => [name, String(values[name] ?? "").trim()]).filter(([, value]) => value),
  );
}

function Input({ field, value, onChange }) {
  const { name, kind, options, required } = field;
  const label = LABELS[name] ?? name;
  const hint = HINTS[kind] ?? HINTS[name];
  // The live sessions' destinations; only the workers' router knows the directory's names.
  const known = kind === "destination" ? (session.value?.destinations ?? []) : [];
  if (kind === "flag") {
    return html`<label class="field is-flag">
      <input type="checkbox" checked=${value === "true"} onChange=${(event) => onChange(name, event.target.checked ? "true" : "")} />
      <span>${label}</span>
    </label>`;
  }
  if (options.length) {
    return html`<fieldset class="field options">
      <legend>${label}</legend>
      ${options.map(
        (option) => html`<label key=${option}>
          <input
            type="radio"
            name=${`field-${name}`}
            value=${option}
            required=${required}
            checked=${value === option}
            onChange=${() => onChange(name, option)}
          />
          <span><${Text} value=${option} /></span>
        </label>`,
      )}
    </fieldset>`;
  }
  return html`<div class="field">
    <label for=${`field-${name}`}>${label}${required ? "" : html` <span class="muted small">(optional)</span>`}</label>
    <input
      id=${`field-${name}`}
      name=${name}
      aria-describedby=${hint ? `hint-${name}` : undefined}
      list=${known.length ? `known-${name}` : undefined}
      value=${value}
      required=${required}
      inputmode=${kind === "seconds" ? "decimal" : undefined}
      autocomplete="off"
      autocapitalize="none"
      spellcheck=${name === "say" || name === "brief"}
      onInput=${(event) => onChange(name, event.target.value)}
    />
    ${known.length
      ? html`<datalist id=${`known-${name}`}>${known.map((one) => html`<option key=${one} value=${one} />`)}</datalist>`
      : null}
    ${hint ? html`<span class="muted small" id=${`hint-${name}`}>${hint}</span>` : null}
  </div>`;
}

/**
 * The command as lines to copy.
 *
 * @param {{ fields: Record<string, string> }} props
 */
function Lines({ fields }) {
  const program = hello.value.public_command || "conferral";
  return html`<${CommandLine} isInDialog lines=${[["command line", cliLine(program, fields)], ["curl", curlLine(fields)]]} />`;
}
