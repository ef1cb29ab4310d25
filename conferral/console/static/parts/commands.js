// What can be done with a call: the likely actions, Listen, and the rest under More, each with why it can't be used now.

import { signal } from "@preact/signals";
import { html } from "htm/preact";
import { useEffect, useRef } from "preact/hooks";

import { RefusedError, submitCommand, commandIdSource, press, pressed, refused } from "../actions.js";
import { UNANSWERED, staleReason, commands, hasFailed, hello, keep, kept, may, moments } from "../store.js";
import { Icon } from "../shared/icon.js";
import { Text } from "../shared/text.js";
import { Time } from "../shared/time.js";
import { Mark, kindOfStatus } from "./badges.js";
import { CommandForm } from "./form.js";
import { showMoment } from "./timeline.js";

/** The first two of these that can be used now are the likely actions. */
const LIKELY = ["complete", "cancel", "retrieve", "unhold", "transfer", "hold"];
/** What is shown as likely if none of them can be used: it says why not. */
const USUAL = "transfer";
/** The order of the rest; other commands of the server come at the end of the last group, before `end`. */
const GROUPS = [
  ["Transfer", ["transfer", "complete", "cancel", "swap", "merge", "park", "retrieve"]],
  ["Parties", ["add", "remove", "hold", "unhold", "mute", "unmute", "press", "supervise"]],
  ["Call", ["convert", "announce", "record"]],
];
const LAST = "end";
/** Where the lead's own address is kept, to which Listen connects. */
const LISTENER = "listener";

/** The open form: a command's type, what is filled in, and which of this is fixed; null if none is open. */
const open = signal(null);

/**
 * A session's actions, without commands that the token may not send, and the status of submitted commands.
 *
 * @param {{ id: string, buttons: object[] }} props
 */
export function Commands({ id, buttons }) {
  const known = new Map(buttons.map((button) => [button.type, button]));
  const placed = new Set([...GROUPS.flatMap(([, types]) => types), LAST]);
  const others = buttons.map((button) => button.type).filter((type) => !placed.has(type));
  const chosen = known.get(open.value?.type);
  const usable = [...LIKELY, LAST].filter((type) => may(type) && !whyNot(known.get(type))).slice(0, 2);
  const likely = usable[0] === LAST && may(USUAL) ? [USUAL, LAST] : usable;
  useGuard(id, likely);
  const rest = GROUPS.map(([name, types], place) => [
    name,
    (place === GROUPS.length - 1 ? [...types, ...others, LAST] : types).filter((type) => may(type) && !likely.includes(type)),
  ]).filter(([, types]) => types.length);
  if (!rest.length && !likely.length) {
    return html`<p class="small muted">Your token, <${Text} value=${hello.value.token} />, may send no commands.</p>`;
  }
  const common = commonWhy(buttons);
  const make = (type, isLikely, said = "") =>
    html`<${CommandButton} key=${type} id=${id} type=${type} button=${known.get(type)} why=${whyNot(known.get(type))} isLikely=${isLikely} said=${said} />`;
  return html`
    <div class="actions">
      ${likely.map((type) => make(type, true))}
      ${may("supervise") ? html`<${Listen} id=${id} button=${known.get("supervise")} why=${whyNot(known.get("supervise"))} />` : null}
      <details class="more">
        <summary class="button"><${Icon} name="ellipsis" />More</summary>
        <div class="more-commands panel">
          ${common ? html`<p class="small muted">Not available: <span id="why-all"><${Text} value=${common} /></span></p>` : null}
          ${rest.map(
            ([name, types]) => html`<div role="group" aria-label=${name} key=${name}>
              <h3 class="muted">${name}</h3>
              ${runsOf(types, (type) => whyNot(known.get(type))).map(
                ([why, ...run]) => html`<div class="command" key=${run[0]}>
                  <div>${run.map((type) => make(type, false, common ? "why-all" : `why-${run[0]}`))}</div>
                  <span class="why small muted" id=${`why-${run[0]}`}><${Text} value=${common ? "" : why} /></span>
                </div>`,
              )}
            </div>`,
          )}
        </div>
      </details>
    </div>
    ${chosen
      ? html`<${CommandForm}
          key=${`${id} ${chosen.type}`}
          id=${id}
          button=${chosen}
          title=${open.value.title}
          given=${open.value.given}
          fixed=${open.value.fixed}
          why=${whyNot(chosen)}
          onClose=${() => (open.value = null)}
        />`
      : null}
    <${SubmittedCommands} id=${id} />
  `;
}

/** Buttons that have just taken another's place are disabled for a moment: no click hits the wrong one. */
function useGuard(id, likely) {
  const before = useRef(null);
  const now = `${id} ${likely.join(" ")}`;
  useEffect(() => {
    const isSameCall = before.current?.startsWith(`${id} `);
    if (isSameCall && before.current !== now) {
      likely.forEach((type) => press(`${id} ${type}`));
    }
    before.current = now;
  }, [now]);
}

const isListening = ({ type, fields }) => type === "supervise" && fields?.mode === "monitor";

/** Remembers the address at which the lead last answered, and forgets one that did not answer. */
function useListener() {
  const newest = commands.value.find((one) => isListening(one) && ["done", "failed"].includes(one.status));
  useEffect(() => {
    const { to } = newest?.fields ?? {};
    if (newest?.status === "done") {
      keep(LISTENER, to);
    } else if (to && to === kept(LISTENER)) {
      keep(LISTENER, "");
    }
  }, [newest?.command]);
}

/** Connects the lead, whom no one hears: one click once their address is known. */
function Listen({ id, button, why }) {
  useListener();
  const to = kept(LISTENER);
  const given = { mode: "monitor", ...(to ? { to } : {}) };
  const listen = () => {
    if (!why && to && press(`${id} supervise`)) {
      void submit({ type: "supervise", session: id, ...given });
    } else if (!why && !to) {
      open.value = { type: button.type, title: "Listen", given, fixed: ["mode"] };
    }
  };
  return html`<button
    type="button"
    aria-disabled=${Boolean(why) || pressed.value.has(`${id} supervise`)}
    aria-description=${why}
    title=${why || (to ? `Calls you; no one hears you` : "Asks for your address once")}
    onClick=${listen}
  >
    <${Icon} name="headphones" />Listen
  </button>`;
}

/** Returns why a button is disabled; empty if it isn't. */
function whyNot(button) {
  if (hello.value.read_only) {
    return "this console is read-only";
  }
  if (staleReason.value) {
    return staleReason.value;
  }
  return button?.allowed ? "" : (button?.reason ?? "");
}

/** Returns neighbors with the same reason, each run with it first: it is said once. Those without one stand alone. */
function runsOf(types, whyOf) {
  const runs = [];
  for (const type of types) {
    const why = whyOf(type);
    if (why && runs.at(-1)?.[0] === why) {
      runs.at(-1).push(type);
    } else {
      runs.push([why, type]);
    }
  }
  return runs;
}

/** Returns the common reason if all buttons are disabled for the same one; empty otherwise. */
function commonWhy(buttons) {
  const reasons = new Set((buttons.length ? buttons : [undefined]).map((button) => whyNot(button)));
  return reasons.size === 1 ? [...reasons][0] : "";
}

/** Whether a command needs a form. */
function hasForm(button) {
  return button !== undefined && (button.fields.length > 0 || button.danger !== "");
}

function CommandButton({ id, type, button, why, isLikely, said }) {
  const needsForm = hasForm(button);
  const name = `${id} ${type}`;
  const isBusy = pressed.value.has(name);
  const onClick = () => {
    if (why || (isLikely && isBusy)) {
      return;
    }
    if (needsForm) {
      open.value = { type, given: {} };
    } else if (press(name)) {
      void submit({ type, session: id });
    }
  };
  const isDanger = type === LAST || Boolean(button?.danger);
  return html`<button
    type="button"
    class=${[isLikely && type !== LAST && "main", isDanger && "danger"].filter(Boolean).join(" ")}
    aria-disabled=${Boolean(why) || isBusy}
    aria-describedby=${why && !isLikely ? said : undefined}
    aria-description=${isLikely && why ? why : undefined}
    title=${isLikely && why ? why : undefined}
    aria-haspopup=${needsForm ? "dialog" : undefined}
    onClick=${onClick}
  >
    ${button?.label ?? labelOf(type)}${needsForm ? "…" : ""}
  </button>`;
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

const WORDS = { [UNANSWERED]: "not known yet", sent: "sent, not known yet", accepted: "accepted, in progress" };

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
                <span><${Text} value=${isListening(one) ? "listen" : one.type} /> <span class="muted small"><${Time} at=${one.atMs} as="clock" /></span></span>
                <${Mark} kind=${kindOfStatus(one.status)}>${statusText(one)}<//>
                <${Why} command=${one.command} reason=${one.reason} />
              </li>`,
            )}
          </ul>`
      : null}
  `;
}

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
