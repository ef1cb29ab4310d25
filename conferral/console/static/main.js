// Entry point of the console's page.

import { effect } from "@preact/signals";
import { html, render } from "htm/preact";

import { RefusedError, refused, signIn, signOut } from "./actions.js";
import * as keys from "./keys.js";
import * as live from "./socket.js";
import { Banner } from "./parts/banner.js";
import { Status } from "./parts/status.js";
import { copied } from "./shared/copy.js";
import { Text, printable } from "./shared/text.js";
import { decoded, route } from "./route.js";
import { deadCount, full, hello, link, session, summary } from "./store.js";
import { Agents } from "./views/agents.js";
import { Dead } from "./views/dead-letters.js";
import { Health } from "./views/health.js";
import { Report } from "./views/report.js";
import { Help } from "./views/help.js";
import { Calls } from "./views/sessions.js";
import { SignIn } from "./views/sign-in.js";

const VIEWS = { sessions: Calls, agents: Agents, session: Calls, report: Report, health: Health, dead: Dead };
const PLACES = [
  ["sessions", "Calls"],
  ["agents", "Agents"],
  ["report", "Report"],
  ["health", "Health"],
  ["dead", "Dead letters"],
];

/** Numbers next to views: what someone has to do there. */
const COUNTS = { dead: () => deadCount.value, health: () => summary.value?.tasks };

function Page() {
  if (link.value.state === "signed-out") {
    return html`<${SignIn} />`;
  }
  const { view } = route.value;
  const isNew = link.value.state === "connecting" && hello.value.version === "";
  return html`
    <a class="unseen skip" href="#main" onClick=${skip}>Skip to content</a>
    <${Top} view=${view} />
    <${Banner} />
    <main id="main" tabindex="-1">
      ${isNew ? html`<${Connecting} />` : html`<${VIEWS[view]} />`}
    </main>
    <p class="copied small" aria-hidden="true">${copied.value}</p>
    <${Status} />
    <${Help} />
  `;
}

/** Scripts can't learn why a WebSocket was rejected, so this shows the possible reason after the first attempt. */
function Connecting() {
  return html`<p class="nothing muted">
    Connecting…
    ${link.value.retryMs
      ? " The console's server is not responding, or a proxy in front of it changes the Host header or blocks WebSockets."
      : null}
  </p>`;
}

/** The hash is the route, so this link must not change it. */
function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

function Top({ view }) {
  const place = view === "session" ? "sessions" : view;
  return html`<header class="top">
    <a class="brand" href="#sessions">Conferral</a>
    <nav aria-label="Views">
      ${PLACES.map(
        ([name, label]) => html`<a key=${name} href=${`#${name}`} aria-current=${name === place ? "page" : undefined}>
          ${label}${COUNTS[name]?.() ? html` <span class="count">${COUNTS[name]()}</span>` : null}
        </a>`,
      )}
    </nav>
    <div class="top-end">
      ${hello.value.token && hello.value.token !== "api"
        ? html`<span class="tag" title="The token that you are signed in with"><${Text} value=${hello.value.token} /></span>`
        : null}
      ${hello.value.read_only ? html`<span class="tag">read-only</span>` : null}
      ${hello.value.prefix && hello.value.prefix !== "conferral"
        ? html`<span class="tag" title="CONFERRAL_PREFIX"><${Text} value=${hello.value.prefix} /></span>`
        : null}
      <label class="switch">
        <input type="checkbox" checked=${full.value} onChange=${(event) => (full.value = event.target.checked)} />
        <span>Show full numbers</span>
      </label>
      <button type="button" class="by-keyboard" aria-haspopup="dialog" onClick=${() => (keys.helpShown.value = true)}>Shortcuts</button>
      <button type="button" onClick=${signOut}>Sign out</button>
    </div>
  </header>`;
}

const NAMES = { sessions: "Calls", agents: "Agents", report: "Report", health: "Health", dead: "Dead letters" };

/** Title: the view, and how many calls need attention, for users who see only the tab. No full number: it is kept. */
effect(() => {
  const { view, id } = route.value;
  const troubled = summary.value?.counts.troubled;
  const place = view === "session" ? (!full.value && session.value?.people) || id : NAMES[view];
  const mark = link.value.state === "lost" ? "(disconnected) " : troubled ? `(${troubled}) ` : "";
  document.title = printable(`${mark}${place} – Conferral`);
});

/**
 * Exchanges the token in the URL for a cookie, and removes it from the URL, even if it is rejected.
 *
 * @returns {Promise<boolean>} Whether the user is now signed in.
 */
async function exchangeToken() {
  // Not URLSearchParams, which decodes a plus sign as a space.
  const token = /^#token=([^&]+)/.exec(location.hash)?.[1];
  if (!token) {
    return false;
  }
  history.replaceState(null, "", `${location.pathname}${location.search}`);
  try {
    await signIn(decoded(token));
    refused.value = "";
    return true;
  } catch (error) {
    if (!(error instanceof RefusedError)) {
      throw error;
    }
    refused.value = `The token in the link was not accepted: ${error.message}`;
    return false;
  }
}

/** Opening the token's URL in a tab that already shows the console doesn't reload the page. */
addEventListener("hashchange", async () => {
  if (await exchangeToken()) {
    live.signedIn();
  }
});

await exchangeToken();
keys.start();
const page = document.getElementById("page");
page.replaceChildren(); // `render` would leave what the page says while it loads
render(html`<${Page} />`, page);
live.start();
