// Dead letters view: what failed and why, with buttons to retry or drop.

import { signal } from "@preact/signals";
import { html } from "htm/preact";

import { RefusedError, actOnDeadLetters, press, pressed } from "../actions.js";
import { Dialog } from "../parts/dialog.js";
import { to, route } from "../route.js";
import { staleReason, dead, hello, isStale, may } from "../store.js";
import { counted, Text } from "../shared/text.js";
import { Time } from "../shared/time.js";

/** The pending action and its targets, before confirmation; null for none. */
const asking = signal(null);
/** Result of the last action. */
const result = signal("");
/** Ids of the selected letters. */
const chosen = signal(new Set());

/** The view. */
export function Dead() {
  const found = dead.value;
  const reason = route.value.choices.get("reason") ?? "";
  if (!found || found.reason !== reason) {
    return html`<h1>Dead letters</h1><p class="muted">Loading…</p>`;
  }
  const why = hello.value.read_only ? "this console is read-only" : staleReason.value;
  return html`<div class=${isStale.value ? "is-blind" : ""}>
    <div class="view-head">
      <h1>Dead letters</h1>
      <p class="small muted">
        Events and commands that could not be processed. They block nothing. Retry puts them back on their stream.
      </p>
    </div>
    ${why ? html`<p class="small" id="dead-why">${why[0].toUpperCase()}${why.slice(1)}.</p>` : null}
    <p role="status">${result.value}</p>
    <${Undelivered} found=${found} why=${why} />
    <${Groups} found=${found} reason=${reason} why=${why} />
    <${Letters} found=${found} reason=${reason} why=${why} />
    ${asking.value ? html`<${Confirm} what=${asking.value} why=${why} />` : null}
  </div>`;
}

/** Outcomes that could not be sent over HTTP. */
function Undelivered({ found, why }) {
  const { undelivered, undelivered_count: count, stopped_at: stoppedAt } = found;
  const send = async (ids) => {
    if (why || !press(`resend ${ids ?? "all"}`)) {
      return;
    }
    try {
      const answer = await actOnDeadLetters({ act: "resend", ...(ids ? { ids } : {}) });
      result.value = `${counted(answer.done, "outcome")} will be sent again.`;
    } catch (error) {
      if (!(error instanceof RefusedError)) {
        throw error;
      }
      result.value = error.message;
    }
  };
  const button = (label, ids) =>
    may("resend") &&
    html`<span class="acts">
      <button type="button" aria-disabled=${Boolean(why)} title=${why} onClick=${() => send(ids)}>${label}</button>
    </span>`;
  return html`
    ${stoppedAt
      ? html`<p class="error">
          The receiver of outcomes responded with 410 at <${Time} at=${stoppedAt} />; nothing is sent until you run${" "}
          <code>conferral outcomes resend</code> or restart the workers.
        </p>`
      : null}
    ${count
      ? html`<section class="panel" aria-labelledby="undelivered-title">
          <div class="panel-head">
            <h2 id="undelivered-title">${counted(count, "undelivered outcome")}</h2>
            ${button("Send all again")}
          </div>
          <ul class="letters">
            ${undelivered.map(
              (one) => html`<li key=${one.id} class="letter">
                <div class="letter-what">
                  <p><strong><${Text} value=${one.type} /></strong>, session <${Text} value=${one.session} /> <span class="small muted"><${Time} at=${one.at} /></span></p>
                </div>
                ${button("Send again", [one.id])}
              </li>`,
            )}
          </ul>
        </section>`
      : null}
  `;
}

function Groups({ found, reason, why }) {
  if (!found.groups.length) {
    return html`<p class="nothing muted">No dead letters: nothing to do.</p>`;
  }
  return html`<section class="panel" aria-labelledby="groups-title">
    <div class="panel-head">
      <h2 id="groups-title">By reason</h2>
      ${reason ? html`<a class="button" href=${to("dead", "", {})}>Show all ${found.count}</a>` : null}
    </div>
    <ul class="groups">
      ${found.groups.map(
        (group) => html`<li key=${group.reason} class=${group.reason === reason ? "group is-chosen" : "group"}>
          <a href=${to("dead", "", { reason: group.reason })} aria-current=${group.reason === reason ? "true" : undefined}>
            <${Text} value=${group.reason} />
          </a>
          <span class="number">${counted(group.count, "dead letter")}</span>
          <${Acts}
            why=${why}
            name=${group.count === 1 ? "" : `all ${group.count}`}
            what=${{ reason: group.reason, count: group.count }}
            canRetry=${group.retryable > 0}
          />
        </li>`,
      )}
    </ul>
  </section>`;
}

/** Buttons for one letter, the selection, or a group; no Retry if none of them can be retried. None without permission. */
function Acts({ why, name, what, canRetry = true }) {
  if (!may("dead")) {
    return null;
  }
  const button = (act, label, no) => html`<button
    type="button"
    class=${act === "drop" ? "danger" : ""}
    aria-disabled=${Boolean(no)}
    aria-describedby=${why ? "dead-why" : undefined}
    title=${no}
    onClick=${() => !no && (asking.value = { act, ...what })}
  >
    ${label} ${name}…
  </button>`;
  return html`<span class="acts">${canRetry ? button("retry", "Retry", why) : null}${button("drop", "Delete", why)}</span>`;
}

function Letters({ found, reason, why }) {
  const ids = found.letters.map((letter) => letter.id);
  const picked = ids.filter((id) => chosen.value.has(id));
  if (!ids.length) {
    return null;
  }
  const of = reason ? (found.groups.find((group) => group.reason === reason)?.count ?? ids.length) : found.count;
  return html`<section class="panel" aria-labelledby="letters-title">
    <div class="panel-head">
      <h2 id="letters-title">${ids.length < of ? `The newest ${ids.length} of ${of}` : counted(of, "dead letter")}</h2>
      ${picked.length
        ? html`<${Acts}
            why=${why}
            name=${`${picked.length} selected`}
            what=${{ ids: picked }}
            canRetry=${found.letters.some((letter) => picked.includes(letter.id) && !letter.not_retryable_reason)}
          />`
        : may("dead")
          ? html`<span class="small muted">Select dead letters to retry or delete them together</span>`
          : null}
    </div>
    <ul class="letters">
      ${found.letters.map((letter) => html`<${Letter} key=${letter.id} letter=${letter} why=${why} />`)}
    </ul>
  </section>`;
}

function Letter({ letter, why }) {
  const isChosen = chosen.value.has(letter.id);
  const pick = () => {
    const next = new Set(chosen.value);
    next.delete(letter.id) || next.add(letter.id);
    chosen.value = next;
  };
  return html`<li class="letter">
    ${may("dead")
      ? html`<label class="pick">
          <input type="checkbox" checked=${isChosen} onChange=${pick} />
          <span class="unseen">Select dead letter <${Text} value=${letter.id} /></span>
        </label>`
      : null}
    <div class="letter-what">
      <p>
        <strong><${Text} value=${letter.type || "no type"} /></strong> from <${Text} value=${letter.source} />
        ${letter.session ? html`, session <a class="mono" href=${to("session", letter.session)}><${Text} value=${letter.session} /></a>` : null}
        <span class="small muted"> <${Time} at=${letter.at} /></span>
      </p>
      <p class="error"><${Text} value=${letter.reason} /></p>
      ${letter.not_retryable_reason ? html`<p class="small muted">Can't be retried: <${Text} value=${letter.not_retryable_reason} /></p>` : null}
      <details>
        <summary>Show contents</summary>
        <dl class="pairs mono small">
          ${Object.entries({ "message id": letter.id, "entry id": letter.entry_id, ...letter.fields }).map(
            ([name, value]) => html`<dt><${Text} value=${name} /></dt><dd><${Text} value=${value} /></dd>`,
          )}
        </dl>
      </details>
    </div>
    <${Acts} why=${why} name="" what=${{ ids: [letter.id] }} canRetry=${!letter.not_retryable_reason} />
  </li>`;
}

const WORDS = {
  retry: ["Retry", "will go back to their stream and be processed again", "retried"],
  drop: ["Delete", "will be deleted permanently", "deleted"],
};

/** Confirmation with the number and the reason; rejected if the number has changed since. */
function Confirm({ what, why }) {
  const { act, ids, reason, count } = what;
  const [verb, follows, done] = WORDS[act];
  const number = ids ? ids.length : count;
  const close = () => {
    asking.value = null;
  };
  const submit = async (event) => {
    event.preventDefault();
    if (why || !press("dead")) {
      return;
    }
    try {
      const answer = await actOnDeadLetters(what);
      const refusals = Object.values(answer.refused ?? {});
      result.value = [
        `${counted(answer.done, "dead letter")} ${done}, ${answer.left} remaining.`,
        refusals.length && `${refusals.length} failed: ${refusals[0]}.`,
      ]
        .filter(Boolean)
        .join(" ");
      chosen.value = new Set();
      close();
    } catch (error) {
      if (!(error instanceof RefusedError)) {
        throw error;
      }
      const now = error.answer?.error?.count;
      asking.value = { ...what, ...(typeof now === "number" && !ids ? { count: now } : {}), refusal: error.message };
    }
  };
  return html`<${Dialog} title=${`${verb} ${counted(number, "dead letter")}`} onClose=${close}>
    <form class="form" onSubmit=${submit}>
      <p>
        <strong>${counted(number, "dead letter")}</strong>${ids ? "" : html` with the reason “<${Text} value=${reason} />”`}
        ${" "}${number === 1 ? follows.replace("their stream", "its stream") : follows}.
      </p>
      <div role="alert">${what.refusal ? html`<p class="error"><${Text} value=${what.refusal} /></p>` : null}</div>
      <div class="form-end">
        <button type="button" onClick=${close}>Cancel</button>
        <button type="submit" class=${act === "drop" ? "main danger" : "main"} aria-disabled=${Boolean(why) || pressed.value.has("dead")}>
          ${verb} ${number}
        </button>
      </div>
    </form>
  <//>`;
}
