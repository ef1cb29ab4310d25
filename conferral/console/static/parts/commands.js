// A session's command buttons, each always in its place, with the reasons for disabled ones.

import { signal } from "@preact/signals";
import { html } from "htm/preact";

import { RefusedError, submitCommand, commandIdSource, press, pressed, refused } from "../actions.js";
import { UNANSWERED, staleReason, commands, hello, may, moments } from "../store.js";
import { Text } from "../shared/text.js";
import { Time } from "../shared/time.js";
import { Mark, kindOfStatus } from "./badges.js";
import { CommandForm } from "./form.js";
import { showMoment } from "./timeline.js";

/** Position of each button. Other commands of the server come at the end of the last group, before `end`. */
const GROUPS = [
  ["Transfer", ["transfer", "complete", "cancel", "swap", "merge", "park", "retrieve"]],
  ["Parties", ["add", "remove", "hold", "unhold", "mute", "unmute", "press", "supervise"]],
  ["Call", ["convert", "announce", "record"]],
];
const LAST = "end";

/** Command type of the open form; empty if none is open. */
const open = signal("");

/**
 * A session's buttons, without commands that the token may not send, and the status of submitted commands.
 *
 * @param {{ id: string, buttons: object[], isPast: boolean }} props
 */
export function Commands({ id, buttons, isPast }) {
  const known = new Map(buttons.map((button) => [button.type, button]));
  const placed = new Set([...GROUPS.flatMap(([, types]) => types), LAST]);
  const others = buttons.map((button) => button.type).filter((type) => !placed.has(type));
  const chosen = known.get(open.value);
  const shown = GROUPS.map(([name, types], place) => [
    name,
    (place === GROUPS.length - 1 ? [...types, ...others, LAST] : types).filter(may),
  ]).filter(([, types]) => types.length);
  if (!shown.length) {
    return html`<p class="small muted">Your token, <${Text} value=${hello.value.token} />, may send no commands.</p>`;
  }
  const common = commonWhy(buttons, isPast);
  return html`
    ${common ? html`<p class="small muted">No commands available: <span id="why-all"><${Text} value=${common} /></span></p>` : null}
    ${shown.map(
      ([name, types]) => html`<div class="commands" role="group" aria-label=${name} key=${name}>
        <h3 class="muted small">${name}</h3>
        <div class="commands-grid">
          ${types.map(
            (type) => html`<${CommandButton}
              key=${type}
              id=${id}
              type=${type}
              button=${known.get(type)}
              isPast=${isPast}
              isSaid=${common !== ""}
            />`,
          )}
        </div>
      </div>`,
    )}
    ${chosen
      ? html`<${CommandForm}
          key=${`${id} ${chosen.type}`}
          id=${id}
          button=${chosen}
          why=${whyNot(chosen, isPast)}
          onClose=${() => (open.value = "")}
        />`
      : null}
    <${SubmittedCommands} id=${id} />
  `;
}

/** Returns why a button is disabled; empty if it isn't. */
function whyNot(button, isPast) {
  if (hello.value.read_only) {
    return "this console is read-only";
  }
  if (staleReason.value) {
    return staleReason.value;
  }
  if (isPast) {
    return "you are viewing an earlier state";
  }
  // The server sends the buttons with the call, unless it can't decode the stored state.
  return button ? (button.allowed ? "" : button.reason) : "the call's stored state is damaged";
}

/** Returns the common reason if all buttons are disabled for the same one; empty otherwise. */
function commonWhy(buttons, isPast) {
  const reasons = new Set((buttons.length ? buttons : [undefined]).map((button) => whyNot(button, isPast)));
  return reasons.size === 1 ? [...reasons][0] : "";
}

/** Whether a command needs a form. */
function hasForm(button) {
  return button !== undefined && (button.fields.length > 0 || button.danger !== "");
}

function CommandButton({ id, type, button, isPast, isSaid }) {
  const why = whyNot(button, isPast);
  const needsForm = hasForm(button);
  const name = `${id} ${type}`;
  const isBusy = pressed.value.has(name);
  const onClick = () => {
    if (why) {
      return;
    }
    if (needsForm) {
      open.value = type;
    } else if (press(name)) {
      void submit({ type, session: id });
    }
  };
  const isDanger = type === LAST || Boolean(button?.danger);
  return html`<div class="command">
    <button
      type="button"
      class=${isDanger ? "danger" : ""}
      aria-disabled=${Boolean(why) || isBusy}
      aria-describedby=${why ? (isSaid ? "why-all" : `why-${type}`) : undefined}
      aria-haspopup=${needsForm ? "dialog" : undefined}
      onClick=${onClick}
    >
      ${button?.label ?? labelOf(type)}${needsForm ? "…" : ""}
    </button>
    <span class="why small muted" id=${`why-${type}`}><${Text} value=${isSaid ? "" : why} /></span>
  </div>`;
}

const labelOf = (type) => type[0].toUpperCase() + type.slice(1);

async function submit(fields) {
  try {
    await submitCommand(fields, commandIdSource()(fields));
  } catch (error) {
    if (!(error instanceof RefusedError)) {
      throw error;
    }
    refused.value = `${fields.type}: ${error.message}`;
  }
}

const WORDS = { [UNANSWERED]: "no response yet", sent: "sent", accepted: "accepted, in progress" };

/**
 * Returns a command's status text. A warm or consult transfer goes on when the command is done: "done" would promise
 * too much.
 */
function statusText({ type, status, fields }) {
  const goesOn = type === "transfer" && (fields?.mode === "consult" || fields?.mode === "warm");
  return status === "done" && goesOn ? "target reached" : (WORDS[status] ?? status);
}

/** Commands submitted on this page for this session, with the status that the server reports. */
function SubmittedCommands({ id }) {
  const mine = commands.value.filter((one) => one.session === id || one.asked === id);
  const failed = mine.find(hasFailed);
  return html`
    <div role="alert" class="unseen">${failed ? `${failed.type} ${failed.status}: ${failed.reason}` : null}</div>
    ${mine.length
      ? html`<h3 class="given-head muted small">Your commands</h3>
          <ul class="given">
            ${mine.map(
              (one) => html`<li key=${one.command}>
                <span><${Text} value=${one.type} /> <span class="muted small"><${Time} at=${one.atMs} as="clock" /></span></span>
                <${Mark} kind=${kindOfStatus(one.status)}>${statusText(one)}<//>
                <${Why} command=${one.command} reason=${one.reason} />
              </li>`,
            )}
          </ul>`
      : null}
  `;
}

const hasFailed = ({ status }) => status === "failed" || status === "rejected";

/** Links a failure's reason to its log entry; plain text if the log has none. */
function Why({ command, reason }) {
  const at = moments.value.findLast((moment) => moment.failed_commands?.includes(command));
  if (!reason || !at) {
    return reason ? html`<span class="small"><${Text} value=${reason} /></span>` : null;
  }
  return html`<button type="button" class="linklike small" onClick=${() => showMoment(at.entry, moments.value)}>
    <${Text} value=${reason} />
  </button>`;
}
