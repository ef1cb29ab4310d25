// <conferral-desk>: one agent's phone and calls, for any page. docs/desk.md explains its attributes, property, and events.
// It imports nothing, so that it is there, and says so, whatever else fails to load.

const STYLES = ["./shared/colors.css", "./shared/tokens.css", "./shared/destinations.css", "./desk.css"];
/** When what failed to load is asked for again, and how long the desk waits for its style (ms). */
const AGAIN_MS = 500;
const AGAIN_MAX_MS = 15_000;
const STYLE_MS = 1_000;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const missing = new Set();
const elements = new Set();
const say = () => elements.forEach((one) => (one.hidden = !missing.size));

/** Load something, however often it fails. */
async function load(name, ask) {
  for (let waitMs = AGAIN_MS; ; waitMs = Math.min(2 * waitMs, AGAIN_MAX_MS)) {
    try {
      const found = await ask();
      missing.delete(name);
      return found;
    } catch (error) {
      console.warn(error);
      missing.add(name);
    } finally {
      say();
    }
    await pause(waitMs);
  }
}

// The page's own style neither reaches the shadow tree nor is reached by it.
const sheets = STYLES.map(() => new CSSStyleSheet());
const styled = STYLES.map((path, place) =>
  load(path, async () => {
    const answer = await fetch(new URL(path, import.meta.url));
    if (!answer.ok) {
      throw new Error(`${path}: ${answer.status}`);
    }
    await sheets[place].replace(await answer.text());
  }),
);
const parts = load("modules", () => import("./view.js"));

class ConferralDesk extends HTMLElement {
  #desk = null;
  #token = "";
  #life = null;
  #said = document.createElement("p");
  #place = document.createElement("div");

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = sheets;
    this.#said.role = "alert";
    this.#said.textContent = "The desk could not be loaded completely. Trying again…";
    root.append(this.#said, this.#place);
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
    if (this.#life) {
      return; // only moved
    }
    // The page may have set it before this module was loaded.
    if (Object.hasOwn(this, "token")) {
      const { token } = this;
      delete this.token;
      this.#token = token;
    }
    this.translate = false; // a translator keeps what it has translated from changing
    this.#life = new AbortController();
    elements.add(this.#said);
    say();
    void this.#begin(this.#life.signal);
  }

  async #begin(over) {
    const [{ mount }] = await Promise.all([parts, Promise.race([Promise.all(styled), pause(STYLE_MS)])]);
    if (!over.aborted) {
      const base = this.getAttribute("base") ?? new URL("..", import.meta.url).href;
      this.#desk = mount(this, this.#place, base.replace(/\/+$/, ""), over);
      this.#desk.source = this.#token;
    }
  }

  disconnectedCallback() {
    queueMicrotask(() => {
      if (!this.isConnected && this.#life) {
        elements.delete(this.#said);
        this.#life.abort();
        this.#desk?.stop();
        this.#desk = this.#life = null;
      }
    });
  }
}

customElements.define("conferral-desk", ConferralDesk);
