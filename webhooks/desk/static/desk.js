// The desk's state and what changes it: the event stream, the phone, and what the agent does.

import { batch, computed, effect, signal, untracked } from "./shared/vendor/preact-signals-core.mjs";
import { inOrder } from "./shared/destinations.js";
import { keep, kept } from "./shared/kept.js";
import { Api, lostText } from "./api.js";
import { CallEvents } from "./call-events.js";
import { Comeback } from "./comeback.js";
import { Commands, stamp } from "./commands.js";
import { Guard } from "./keys.js";
import { HUNG_UP, News } from "./news.js";
import { paramsOf, Phone, sidOf } from "./phone.js";
import { Presence } from "./presence.js";
import { Ring } from "./ring.js";
import { Rings } from "./rings.js";
import { callerIn, nameOf, noteNames, noteUnholds, ownLeg } from "./session.js";
import { Shortcuts } from "./shortcuts.js";

const TICK_MS = 3_000;
/** Where a browser keeps the session in which the agent is muted. */
const MUTED = "conferral-desk muted";
/** A call is hung up even if Conferral has not accepted it by then (ms). */
const HANG_UP_MS = 1_000;
const ID = "conferral-desk-id";
const path = encodeURIComponent;

export class Desk {
  /** Whether the event stream is open; what is wrong with it, or with the last renewal. */
  isOpen = signal(false);
  trouble = signal(null);
  /** Why only the phone works; empty if everything does. */
  lost = computed(() => (this.isOpen.value && !this.trouble.value ? "" : lostText(this.trouble.value ?? undefined)));
  sessions = signal(new Map());
  notices = signal([]);
  /** The directory, by name; the team's parked and queued calls, by id; the agent's own, newest first. */
  names = signal(new Map());
  parked = signal(new Map());
  queued = signal(new Map());
  calls = signal([]);
  hasToken = signal(false);
  commands = new Commands((id) => this.#api.send("GET", `/commands/${path(id)}`), {
    onFailed: ({ label, onFailed, session, done }, why) => {
      onFailed?.();
      this.#news.planned.delete(session);
      if (!this.#news.isTold(session, why, done)) {
        this.#failed(why, "command", label);
      }
    },
    onUnknown: ({ label }, id) => this.notify("warn", `${label}: not known yet; Conferral has not answered.`, id),
    onKnown: (id) => this.dismissAll(id),
  });
  /** The open sheet and what is in it; why the button that was pressed last did nothing. */
  panel = signal("");
  form = null;
  asked = signal({});
  guard = new Guard();
  shortcuts = new Shortcuts();
  identity = signal("");
  #news = new News(this);
  news = this.#news.said;

  phone;
  rings;
  current = computed(() => this.rings.at(this.phone.call.value));
  /** Why the agent can begin no call now. */
  whyNoCall = computed(() => {
    const why = this.rings.incoming.value ? "a call rings" : "";
    return this.lost.value || (this.state.value === "ready" ? why : "go ready first, since your own phone rings first");
  });

  #api;
  #emit;
  /** Kept over a reload; a copy of the tab gets its own. */
  #id = kept(ID, "sessionStorage") || (crypto.randomUUID?.() ?? String(Math.random()).slice(2));
  #ring = new Ring();
  comeback = new Comeback(this, this.#ring, ({ id }) => this.#api.send("POST", `/sessions/${path(id)}/take-over`, { desk: this.#id }));
  #life = new AbortController();
  presence = new Presence(this, (said) => this.#api.send("PUT", "/presence", { ...said, desk: this.#id }), this.#id);
  state = this.presence.state;
  #events = new CallEvents((call) => this.#detail(this.rings.at(call)), (name, detail) => this.#emit(name, detail));
  #heard = {
    session: (data) => this.#session(data),
    ready: () => this.#synced(),
    command: (data) => this.commands.update(data),
    presence: (data) => this.#present(data),
    parked: (data) => this.#wait(this.parked, data),
    queued: (data) => this.#wait(this.queued, data),
    directory: ({ names, is_all: isAll }) => (this.names.value = new Map([...(isAll ? [] : this.names.value), ...names.map((one) => [one.name, one])])),
  };
  /** Sessions that the stream has sent since it was opened. */
  #seen = new Set();
  #announced = null;

  constructor(base, identity, emit) {
    this.#api = new Api(base);
    this.#emit = emit;
    keep(ID, "", "sessionStorage");
    this.identity.value = identity;
    this.phone = new Phone(`${base}/desk/voice-sdk.js`, () => this.#api.send("POST", "/access-token"), {
      onConnected: (call) => this.#connected(call),
      onOver: (call, how) => this.#callOver(call, how),
      onError: (error) => this.#failed(error, this.phone.call.value ? "call" : "phone"),
      onWarning: (text) => this.notify("warn", text, "phone"),
    });
    this.rings = new Rings(this.phone, this.sessions, this.identity, {
      sayBusy: (sid) => this.#api.send("POST", `/rings/${sid}`, { result: "busy" }),
      onShown: (call) => {
        this.#news.tell(this.rings.at(call).session?.id); // what failed before is over, or rings again
        this.#events.rang(call);
      },
    });
  }

  set source(source) {
    if (!source && this.hasToken.value) {
      void this.goAway(); // signed out
    }
    this.#api.source = source;
    if (source && !this.hasToken.value) {
      this.hasToken.value = true;
      this.#start();
    }
  }

  #start() {
    const { signal: over } = this.#life;
    void this.#api.follow(`/events?desk=${this.#id}`, (kind, data) => this.#heard[kind]?.(data), (error) => this.#linked(error), over, () => this.#tend());
    const tick = setInterval(() => this.#tend(), TICK_MS);
    // Before the SDK's own listener, which would decline calls that ring.
    addEventListener("pagehide", () => {
      this.#leave();
      addEventListener("pageshow", () => this.#back(), { once: true, signal: over });
    }, { capture: true, signal: over });
    const effects = [
      this.rings.start(),
      effect(() => this.#announce()),
      effect(() => void (this.sessions.value, this.phone.call.value, untracked(() => (this.#events.update(), this.comeback.consider())))),
      effect(() => this.#registered(this.phone.isRegistered.value)),
    ];
    over.addEventListener("abort", () => (clearInterval(tick), effects.forEach((end) => end())));
  }

  /** The page is left, or its element taken out: what comes next may be loaded again. */
  #leave() {
    keep(ID, this.#id, "sessionStorage");
    this.phone.leave();
    this.presence.leave();
  }

  /** *Back* has led to the page, in which the SDK has ended its device. */
  #back() {
    keep(ID, "", "sessionStorage");
    this.phone.back();
    this.presence.renewNow();
  }

  stop() {
    this.#leave();
    this.#life.abort();
    this.commands.stop();
    this.#ring.stop();
    this.phone.destroy();
  }

  async goReady(isByItself = false) {
    this.presence.hasClicked = !isByItself;
    this.#ring.unlock();
    this.dismissAll("phone");
    this.state.value = "starting";
    try {
      await this.phone.register();
      await this.presence.renew(); // colleagues see it before the agent does
      if (this.state.value !== "away") {
        this.state.value = this.state.value === "starting" ? "ready" : this.state.value;
        this.comeback.remember(true);
      }
    } catch (error) {
      this.#failed(error, "phone");
      await this.goAway();
    }
  }

  async goAway() {
    this.state.value = "away";
    this.comeback.remember(false);
    this.phone.unregister();
    try {
      await (this.lost.value ? null : this.presence.renew());
    } catch (error) {
      this.#failed(error, "phone");
    }
  }

  answer({ call }) {
    this.#ring.unlock();
    if (!this.phone.call.value) {
      this.phone.answer(call);
    }
  }

  decline({ call, session }) {
    if (session) {
      this.#news.planned.set(session.id, "You declined the call.");
    }
    this.phone.decline(call);
  }

  /** Hang up on purpose: Conferral hears it first, or it would ring the agent again. */
  async hangUp() {
    const { session, call, isOver } = this.current.value ?? {};
    if (session && !isOver) {
      this.rings.leave(session.id);
      this.#news.planned.set(session.id, HUNG_UP);
    }
    if (call && !isOver) {
      // By its SID: when a transfer completes, the party's name changes.
      const remove = { id: "hang up", type: "remove", label: "Hang up", fields: { party: sidOf(call) } };
      // Without a stream, nothing else says that it was accepted, nor perhaps which session the call has.
      const isSeen = session && !this.lost.value;
      const accepted = isSeen ? this.#send(session, remove) : this.#post(sidOf(call), remove, stamp(), "?wait=1").catch(() => {});
      await Promise.race([accepted, new Promise((done) => setTimeout(done, HANG_UP_MS))]);
    }
    this.phone.hangUp();
  }

  /** In a bridge, or without a server, the phone sends digits; in a conference, Conferral does, to a party. */
  press(digits, party) {
    const { session } = this.current.value ?? {};
    if (!party || !session || session.state === "bridged" || this.lost.value) {
      this.phone.press(digits.toLowerCase());
      return Promise.resolve(true);
    }
    return this.#send(session, { id: "press", type: "press", label: "Digits", fields: { party, digits } });
  }

  get sessionId() {
    return this.current.value?.session?.id ?? "";
  }

  /** Mute the phone, also after a reload, or once a lost line is back. */
  mute(isMuted) {
    this.phone.mute(isMuted);
    keep(MUTED, isMuted ? this.sessionId : "", "sessionStorage");
  }

  async act(session, action) {
    this.news.value = "";
    if (action.done) {
      this.#news.planned.set(session.id, action.done);
    }
    const isAccepted = await this.#send(session, action);
    if (isAccepted) {
      this.dismissAll("command");
    }
    return isAccepted;
  }

  callOut(to) {
    const onSession = (session) => {
      action.session = session;
      this.rings.expect(session);
    };
    const action = { id: "call", label: `Call to ${to}`, onSession };
    return this.commands.request(action, async (stamped) => onSession((await this.#api.send("POST", "/calls", { to, ...stamped })).session));
  }

  retrieve({ id }) {
    this.rings.expect(id);
    const send = (stamped) => this.#api.send("POST", `/parked/${path(id)}/retrieve`, stamped);
    // If it fails, a colleague took it, and may transfer it to this agent.
    return this.commands.request({ id: `retrieve ${id}`, label: "Retrieve", onFailed: () => this.rings.forget(id) }, send);
  }

  /** Open a sheet, or none. Each has a new form, so nothing of a closed one is left. Its names stay in their order. */
  open(panel) {
    const names = inOrder([...this.names.value.values()]).map(({ name }) => name);
    this.form = { names, to: signal(""), active: signal(-1), digits: signal(""), sent: signal(""), party: signal("") };
    this.panel.value = panel;
  }

  /** `about` is what it belongs to: `phone`, `call`, `command`, `registration`, `token`, or a command's id. */
  notify(kind, text, about) {
    this.notices.value = [...this.notices.value.filter((one) => one.text !== text), { kind, text, about }];
  }

  dismiss(notice) {
    this.notices.value = this.notices.value.filter((one) => one !== notice);
  }

  dismissAll(about) {
    this.notices.value = this.notices.value.filter((one) => one.about !== about);
  }

  tryAgain = () => this.#api.tryAgain();

  #session(session) {
    const { id } = session;
    const before = this.sessions.value.get(id);
    this.#seen.add(id);
    noteNames(session.names);
    noteUnholds(before, session);
    const sessions = new Map(this.sessions.value);
    if (session.state !== "ended" && ownLeg(session, this.identity.value)) {
      sessions.set(id, session);
    } else {
      if (sessions.delete(id)) {
        this.rings.forget(id);
      }
      void this.#loadCalls();
    }
    batch(() => {
      this.sessions.value = sessions;
      this.#news.happened(before, session, !sessions.has(id));
      if (id === this.sessionId && !sessions.has(id)) {
        this.open("");
      }
    });
    this.presence.callsChanged();
  }

  async #loadCalls() {
    try {
      this.calls.value = (await this.#api.send("GET", "/calls")).calls;
    } catch {
      // The former ones stay; the next end of a call asks again.
    }
  }

  #wait(known, { id, session }) {
    const waiting = new Map(known.value);
    waiting.delete(id);
    if (session) {
      this.#seen.add(id);
      noteNames(session.names);
      waiting.set(id, session);
    } else if (this.#news.of === id) {
      this.#news.tell(id); // no longer parked
    }
    known.value = waiting;
  }

  /** A session that a new stream has not sent has ended meanwhile. */
  #synced() {
    for (const known of [this.sessions, this.parked, this.queued]) {
      known.value = new Map([...known.value].filter(([id]) => this.#seen.has(id)));
    }
    if (!this.parked.value.has(this.#news.of)) {
      this.news.value = ""; // it may not be true any more
    }
    this.comeback.begin();
  }

  #present(agent) {
    const expected = this.identity.value;
    if (expected && agent.identity && agent.identity !== expected) {
      this.notify("bad", `The token is for ${agent.identity}, but this desk is for ${expected}.`, "token");
    }
    this.identity.value ||= agent.identity ?? "";
    this.presence.note(agent);
  }

  async register() {
    try {
      await this.phone.register();
    } catch (error) {
      this.#failed(error, "phone");
    }
  }

  #linked(error) {
    batch(() => {
      this.isOpen.value = error === null;
      this.troubled(error);
    });
    if (error === null) {
      this.#seen = new Set();
      void this.#loadCalls();
      this.presence.renewNow();
      this.#tend();
    }
  }

  troubled(error) {
    const isRefused = error?.status === 401 && this.trouble.value?.status !== 401;
    this.trouble.value = error;
    if (isRefused) {
      this.#emit("desk-error", { message: error.message, code: null, about: "token" });
    }
  }

  #registered(isRegistered) {
    untracked(() => {
      if (isRegistered) {
        this.dismissAll("registration");
      }
      this.presence.registered(isRegistered);
    });
  }

  /** A page that is hidden has late timers; so whatever the stream brings is an occasion, too. */
  #tend() {
    this.phone.tend();
    this.presence.renewIfDue();
  }

  #send(session, action) {
    return this.commands.request({ ...action, session: session.id }, (stamped) => this.#post(session.id, action, stamped));
  }

  #post(session, { type, fields }, stamped, query = "") {
    return this.#api.send("POST", `/sessions/${path(session)}/commands${query}`, { type, ...fields, ...stamped });
  }

  about({ call, session, own }) {
    const leg = own?.[1] ?? {};
    // Twilio may name our own number as the caller.
    const from = session ? nameOf(callerIn(session, own)) : "";
    return {
      from,
      title: session?.ref || from || "A call",
      number: (session?.direction === "inbound" && session.number) || "", // of a call out, it is the caller's
      brief: leg.brief ?? "",
      params: { ...paramsOf(call), ...leg.params },
      fromAgent: leg.from_agent ? nameOf(leg.from_agent) : "",
    };
  }

  #detail(at) {
    return { session: at.session?.id ?? null, ref: at.session?.ref || null, params: this.about(at).params };
  }

  #announce() {
    const at = this.rings.incoming.value;
    if (!at || this.phone.call.value) {
      this.#ring.stop();
      this.#announced = null;
    } else if (this.#announced !== at.call) {
      this.#announced = at.call;
      this.#ring.start();
    }
    if (this.#announced && at) {
      const { from, number } = this.about(at);
      this.#ring.notify(number ? `${from} on ${number}` : from);
    }
  }

  #connected(call) {
    if (this.sessionId && kept(MUTED, "sessionStorage") === this.sessionId) {
      this.phone.mute(true);
    }
    this.dismissAll("phone");
    this.#events.connected(call);
  }

  #callOver(call, wasAnswered) {
    if (wasAnswered) {
      batch(() => {
        this.open("");
        this.dismissAll("call");
        this.dismissAll("command");
      });
      this.presence.renewNow();
      void this.comeback.callOver();
    }
    this.#events.ended(call);
  }

  #failed(error, about, label = "") {
    const text = error instanceof Error ? error.message : String(error);
    const said = label ? `${label}: ${text}` : text;
    this.notify("bad", /[.!?]$/.test(said) ? said : `${said}.`, error.isPassing ? "registration" : about);
    this.#emit("desk-error", { message: said, code: error.code ?? null, about });
  }
}
