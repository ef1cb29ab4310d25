// A command's form, such as the transfer dialog: its fields, a warning about its effect, and the equivalent command lines.

import { useSignal } from "@preact/signals";
import { html } from "htm/preact";
import { useEffect, useRef } from "preact/hooks";

import { RefusedError, submitCommand, commandIdSource, press, pressed } from "../actions.js";
import { cliLine, curlLine } from "../command-lines.js";
import { commands, hello, session } from "../store.js";
import { CHOOSE, DestinationField, destinationOf, inOrder, MODES } from "../shared/destinations.js";
import { Text } from "../shared/text.js";
import { Dialog } from "./dialog.js";
import { CommandLine } from "./command-line.js";

/**
 * @param {object} props
 * @param {string} props.id The session's id.
 * @param {object} props.button The command.
 * @param {string} props.why Why it is disabled, which may happen while the form is open.
 * @param {string} [props.title] Its name, if not the button's.
 * @param {Record<string, string>} props.given What is filled in at first.
 * @param {string[]} [props.fixed] Fields of these that no one changes.
 * @param {() => void} props.onClose
 */
export function CommandForm({ id, button, why, title = button.label, given, fixed = [], onClose }) {
  const values = useSignal({ ...firstValues(button), ...given });
  const active = useSignal(-1);
  const failure = useSignal("");
  const idOf = useRef(commandIdSource()); // until the command is refused
  /** The sent command's id; empty before. The form stays open until a worker has decided. */
  const sent = useSignal("");
  const outcome = commands.value.find((one) => one.command === sent.value);
  useEffect(() => {
    if (outcome?.status === "rejected") {
      failure.value = outcome.reason;
      sent.value = "";
      idOf.current = commandIdSource();
    } else if (["accepted", "done", "failed"].includes(outcome?.status)) {
      onClose();
    }
  }, [outcome?.status]);
  const name = `${id} ${button.type}`;
  const whom = button.fields.find(({ kind }) => kind === "destination");
  const names = inOrder(session.value?.destinations ?? []);
  const to = whom ? destinationOf(values.value[whom.name] ?? "", names) : "";
  const modes = button.type === "transfer" ? button.fields.find((field) => field.name === "mode") : undefined;
  const fieldsOf = (mode) => ({ type: button.type, session: id, ...filled(button, { ...values.value, ...(whom && { [whom.name]: to }), ...(modes && { mode }) }) });
  const whyNot = why || (whom?.required && !to ? CHOOSE : "");
  const submit = async (event) => {
    event.preventDefault();
    const fields = fieldsOf(event.submitter?.value);
    if (whyNot || !press(name)) {
      return;
    }
    failure.value = "";
    const command = idOf.current(fields);
    try {
      await submitCommand(fields, command);
      sent.value = command;
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
  const shown = button.fields.filter((field) => !fixed.includes(field.name) && field !== whom && field !== modes);
  const needed = shown.filter((field) => field.required);
  const often = needed.length || whom ? needed : shown;
  const seldom = shown.filter((field) => !often.includes(field));
  const input = (field) => html`<${Input} key=${field.name} field=${field} value=${values.value[field.name]} onChange=${set} />`;
  const send = ({ mode, label, hint, look }) => html`<button
    key=${label}
    type="submit"
    value=${mode}
    class=${whyNot ? look.replace("main", "") : look}
    title=${whyNot || undefined}
    aria-label=${label}
    aria-description=${whyNot || hint}
    aria-disabled=${Boolean(whyNot) || pressed.value.has(name)}
  >
    <span>${label}</span>${hint ? html`<span class="small" aria-hidden="true">${hint}</span>` : null}
  </button>`;
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form onSubmit=${submit} class="form">
      ${button.danger ? html`<p class="danger-words"><strong><${Text} value=${button.danger} />.</strong></p>` : null}
      ${whom
        ? html`<${DestinationField}
            text=${values.value[whom.name] ?? ""}
            active=${active.value}
            names=${names}
            onChange=${(text, place) => (set(whom.name, text), (active.value = place))}
            onEnter=${() => document.querySelector("dialog [type=submit]").focus()}
          />`
        : null}
      ${often.map(input)}
      ${seldom.length ? html`<details><summary>Options</summary><div class="form">${seldom.map(input)}</div></details>` : null}
      ${modes
        ? html`<div class="sends">
            ${Object.entries(MODES).map(([mode, label], place) => send({ mode, label, hint: modes.meanings[modes.options.indexOf(mode)], look: place ? "" : "main" }))}
          </div>`
        : null}
      <${Lines} fields=${fieldsOf(Object.keys(MODES)[0])} button=${button} />
      <div role="alert">${failure.value ? html`<p class="error"><${Text} value=${failure.value} /></p>` : null}</div>
      ${why ? html`<p class="error">Not available now: <${Text} value=${why} /></p>` : null}
      <div class="form-end">
        <span class="small muted" role="status">${sent.value ? "Sent. No worker has answered yet." : ""}</span>
        <button type="button" onClick=${onClose}>${sent.value ? "Close" : "Cancel"}</button>
        ${modes ? null : send({ label: title, look: button.danger ? "main danger" : "main" })}
      </div>
    </form>
  <//>`;
}

function firstValues(button) {
  const first = ({ name, kind, options, required }) => (required && kind !== "destination" && name !== "mode" && options.length ? options[0] : "");
  return Object.fromEntries(button.fields.map((field) => [field.name, first(field)]));
}

/** Returns the nonempty fields. */
function filled(button, values) {
  return Object.fromEntries(
    button.fields.map(({ name }) => [name, String(values[name] ?? "").trim()]).filter(([, value]) => value),
  );
}

function Input({ field, value, onChange }) {
  const { name, kind, description, options, required, meanings } = field;
  const words = name.replaceAll("_", " ");
  const label = words[0].toUpperCase() + words.slice(1);
  if (kind === "flag") {
    return html`<label class="field is-flag">
      <input
        type="checkbox"
        checked=${value === "true"}
        aria-label=${label}
        aria-description=${description}
        onChange=${(event) => onChange(name, event.target.checked ? "true" : "")}
      />
      <span>${label}</span>
      <span class="muted small" aria-hidden="true">${description}</span>
    </label>`;
  }
  if (options.length) {
    return html`<fieldset class="field options">
      <legend>${label}</legend>
      ${options.map(
        (option, place) => html`<label key=${option}>
          <input
            type="radio"
            name=${`field-${name}`}
            value=${option}
            required=${required}
            checked=${value === option}
            aria-label=${option}
            aria-description=${meanings[place] || undefined}
            onChange=${() => onChange(name, option)}
          />
          <span><${Text} value=${option} /></span>
          ${meanings[place] ? html`<span class="muted small" aria-hidden="true">${meanings[place]}</span>` : null}
        </label>`,
      )}
    </fieldset>`;
  }
  return html`<div class="field">
    <label for=${`field-${name}`}>${label}${required ? "" : html` <span class="muted small">(optional)</span>`}</label>
    <input
      id=${`field-${name}`}
      name=${name}
      aria-describedby=${`hint-${name}`}
      value=${value}
      required=${required}
      inputmode=${kind === "seconds" ? "decimal" : undefined}
      autocomplete="off"
      autocapitalize="none"
      spellcheck=${name === "say" || name === "brief"}
      onInput=${(event) => onChange(name, event.target.value)}
    />
    <span class="muted small" id=${`hint-${name}`}>${description}</span>
  </div>`;
}

/** The command as lines to copy. */
function Lines({ fields, button }) {
  const program = hello.value.public_command || "conferral";
  return html`<${CommandLine} isInDialog lines=${[["command line", cliLine(program, fields, button)], ["curl", curlLine(fields)]]} />`;
}
