// Entry point: connects, and renders the sandbox's state.

import { render } from "preact";
import { html } from "htm/preact";

import { start } from "./socket.js";
import { Page } from "./page.js";

start();
render(html`<${Page} />`, document.getElementById("page"));
