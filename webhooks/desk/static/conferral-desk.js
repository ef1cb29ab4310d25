// <conferral-desk>: one agent's phone and calls, for any page. docs/desk.md explains its attributes, property, and events.

import { computed, effect } from "./shared/vendor/preact-signals-core.mjs";
import { render } from "./shared/vendor/preact.mjs";
import { html } from "./shared/html.js";
import { headline } from "./call-view.js";
import { Desk } from "./desk.js";
import { View } from "./view.js";

const STYLES = ["./shared/colors.css", "./shared/tokens.css", "./shared/destinations.css", "./desk.css"];

// The page's own style neither reaches the shadow tree nor is reached by it.
const sheets = await Promise.all(
  STYLES.map(async (path) => {
    const answer = await fetch(new URL(path, import.meta.url));
    return new CSSStyleSheet().replace(await answer.text());
  }),
);

class ConferralDesk extends HTMLElement {
  #desk = null;
  #token = "";
  #life = null;

  constructor() {
    super();
    this.attachShadow({ mode: "open" }).adoptedStyleSheets = sheets;
  }

  get token() {
    return this.#token;
  }

  set token(token) {
    this.#token = token;
    if (this.#desk) {
      this.#desk.source = token;
    }
  }

  connectedCallback() {
    if (this.#desk) {
      return; // only moved
    }
    // The page may have set it before this module was loaded.
    if (Object.hasOwn(this, "token")) {
      const { token } = this;
      delete this.token;
      this.#token = token;
    }
    const base = this.getAttribute("base") ?? new URL("..", import.meta.url).href;
    const emit = (name, detail) => this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
    const desk = new Desk(base.replace(/\/+$/, ""), this.getAttribute("identity") ?? "", emit);
    const life = new AbortController();
    this.#desk = desk;
    this.#life = life;
    desk.guard.watch(this.shadowRoot, life.signal);
    desk.shortcuts.start(this.shadowRoot, this.hasAttribute("shortcuts"), life.signal);
    const title = computed(() => headline(desk));
    const effects = [
      effect(() => {
        render(html`<${View} desk=${desk} />`, this.shadowRoot);
        desk.guard.drawn(desk.asked);
      }),
      effect(() => emit("desk-title", { text: title.value })),
    ];
    life.signal.addEventListener("abort", () => effects.forEach((end) => end()));
    desk.source = this.#token;
  }

  disconnectedCallback() {
    queueMicrotask(() => {
      if (!this.isConnected && this.#desk) {
        this.#life.abort();
        this.#desk.stop();
        this.#desk = null;
      }
    });
  }
}

customElements.define("conferral-desk", ConferralDesk);
