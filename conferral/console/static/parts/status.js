// Live region for screen readers: announces changes, at most every five seconds.

import { effect, signal, untracked } from "@preact/signals";
import { html } from "htm/preact";

import { copied } from "../shared/copy.js";
import { printable } from "../shared/text.js";
import { route } from "../route.js";
import { link, rows, rowsKnown, rowsRevision, session } from "../store.js";

/** Minimum interval between announcements, in milliseconds. */
const ANNOUNCE_EVERY_MS = 5000;

const line = signal("");
/** State at the last announcement: each session's problem or none. */
let before = null;
let timer = 0;

effect(() => {
  void rowsRevision.value;
  const isList = route.value.view === "sessions" && rowsKnown.value && link.value.state === "open";
  untracked(() => {
    if (!isList) {
      before = null;
    } else if (before === null) {
      before = known();
    } else {
      timer ||= setTimeout(announceList, ANNOUNCE_EVERY_MS);
    }
  });
});

let announcedId = "";
let announced = "";
let sessionTimer = 0;
let announcedMs = -ANNOUNCE_EVERY_MS;

/** Announces changes of the displayed session. */
effect(() => {
  const found = session.value;
  untracked(() => {
    if (found === null || found.id !== announcedId) {
      announcedId = found?.id ?? "";
      announced = summaryOf(found);
    } else if (summaryOf(found) !== announced) {
      sessionTimer ||= setTimeout(announceSession, ANNOUNCE_EVERY_MS / 5);
    }
  });
});

function summaryOf(found) {
  return found?.known ? found.headline.map(([text]) => text).join(". ") : "";
}

function announceSession() {
  sessionTimer = 0;
  const waitMs = announcedMs + ANNOUNCE_EVERY_MS - performance.now();
  if (waitMs > 0) {
    sessionTimer = setTimeout(announceSession, waitMs);
    return;
  }
  announcedMs = performance.now();
  const found = session.value;
  announced = summaryOf(found);
  if (found?.known) {
    line.value = printable(announced);
  }
}

function known() {
  return new Map([...rows.values()].map((row) => [row.id, Boolean(row.trouble?.attention)]));
}

function announceList() {
  timer = 0;
  if (before === null) {
    return;
  }
  const now = known();
  let fresh = 0;
  let troubled = 0;
  for (const [id, isTroubled] of now) {
    fresh += before.has(id) ? 0 : 1;
    troubled += isTroubled && !before.get(id) ? 1 : 0;
  }
  const gone = [...before.keys()].filter((id) => !now.has(id)).length;
  before = now;
  const parts = [fresh && `${fresh} new`, troubled && `${troubled} ${troubled === 1 ? "needs" : "need"} attention`, gone && `${gone} ended`].filter(Boolean);
  if (parts.length) {
    line.value = parts.join(", ");
  }
}

/** The visually hidden line. */
export function Status() {
  return html`<p class="unseen" role="status">${copied.value || line.value}</p>`;
}
