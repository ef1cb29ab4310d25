// Entry point: connects, and renders the sandbox's state.

import { render } from "preact";
import { html } from "htm/preact";

import { start } from "./socket.js";
import { Page } from "./page.js";

start();
const page = document.getElementById("page");
page.replaceChildren(); // `render` would leave what the page says while it loads
render(html`<${Page} />`, page);
