// Start: the account's numbers with their voice URLs, a first call, and what to paste into a program.

import { useId } from "preact/hooks";
import { html } from "htm/preact";

import { Act, ask } from "./action.js";
import { copy } from "./shared/copy.js";
import { printable, Text } from "./shared/text.js";
import { hello, numbers, phones } from "./store.js";

/** Who calls; the number is reserved for fiction. */
const CALLER = "+12025550123";
const RUN = "offhook run -- COMMAND";

/** The panel; open until there is a phone. */
export function Start() {
  const { url, account, token } = hello.value;
  const python = [
    `client = Client("${account}", "${token}")`,
    `client.api.base_url = "${url}"`,
    "client.region = client.edge = None",
  ];
  return html`<details class="guide panel" open=${phones.value.length === 0}>
    <summary><h2>Start</h2></summary>
    ${numbers.value.filter((it) => !it.application_sid).map((it) => html`<${OwnNumber} key=${it.number} it=${it} />`)}
    <p>Run your program as it is:</p>
    <${Lines} lines=${[RUN]} />
    <p>Or paste into it, with Twilio's Python library:</p>
    <${Lines} lines=${python} />
  </details>`;
}

function OwnNumber({ it }) {
  const id = useId();
  const set = (event) => {
    event.preventDefault();
    ask("/numbers", { ...it, voice_url: event.target.elements.url.value.trim() }, "voice URL set");
  };
  return html`<form class="own" onSubmit=${set}>
    <b><${Text} value=${it.number} /></b>
    <label for=${id}>voice URL</label>
    <input id=${id} name="url" type="url" placeholder="http://127.0.0.1:5000/voice" value=${it.voice_url} />
    <button type="submit">Set</button>
    <${Act}
      label="Call it"
      about=${it.number}
      cannot=${it.voice_url ? "" : "set its voice URL first"}
      onAct=${() => ask("/calls", { from: CALLER, to: it.number }, `${CALLER} calls`)}
    />
  </form>`;
}

function Lines({ lines }) {
  const text = lines.join("\n");
  return html`<button type="button" class="copyable mono" onClick=${() => copy(text, "the lines")}>
    ${lines.map((line, index) => html`${index > 0 && html`<br />`}${printable(line)}`)}<span class="unseen">: copy</span>
  </button>`;
}
