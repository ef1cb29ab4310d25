"""`<Connect><ConversationRelay>`, with a scripted bot and no WebSocket.

Source: Twilio docs: TwiML <Connect>; TwiML <ConversationRelay>; ConversationRelay, WebSocket messages (`end`).
"""

from offhook.model import calls, twiml_parser
from offhook.model.messages import NOT_MODELED
from offhook.model.state import BotScript, Call, Relay
from offhook.model.transaction import Transaction
from offhook.model.twiml_parser import Verb

WEBSOCKET_ERROR = (("ErrorCode", "64105"), ("ErrorMessage", "Websocket ended"))


def start(transaction: Transaction, call: Call, verb: Verb, base_url: str) -> None:
    """Connect the caller to the bot, which says the `welcomeGreeting` first."""
    calls.answer(transaction, call)
    if transaction.state.bot is None:
        _warn_of_url(transaction, call, verb)
    script = transaction.state.bot or BotScript()
    greetings = [noun.get("welcomeGreeting") for noun in verb.children]
    sentences = tuple(Verb("Say", (), text) for text in (*greetings, *script.says) if text)
    session_sid = transaction.new_sid("VX")
    call.activity = "relaying"
    call.relay = Relay(verb, base_url, session_sid, transaction.now_s, script, sentences, position=-1)
    go_on(transaction, call, call.relay)


def _warn_of_url(transaction: Transaction, call: Call, verb: Verb) -> None:
    """Say that the application's own bot isn't asked."""
    if url := next(filter(None, (noun.get("url") for noun in verb.children)), ""):
        message = f"the sandbox plays the bot of <ConversationRelay>, and doesn't connect to {url}"
        transaction.add_debugger_entry(NOT_MODELED, message, call.sid, level="warning")


def go_on(transaction: Transaction, call: Call, relay: Relay) -> None:
    """Say the bot's next sentence, or end the session as its script says."""
    relay.position += 1
    if relay.position < len(relay.sentences):
        sentence = relay.sentences[relay.position]
        transaction.set_timer(call.sid, "verb", twiml_parser.duration_s(sentence, transaction.behavior))
    elif relay.script.ends == "hangup":
        calls.end(transaction, call, "completed")
    else:
        finish(transaction, call, relay)


def finish(transaction: Transaction, call: Call, relay: Relay) -> None:
    """End the session; request the action, or run the next verb."""
    call.relay = None
    failed = relay.script.ends == "failed"
    status = "completed" if call.is_final else "failed" if failed else "ended"
    data = relay.script.handoff_data
    extra = (
        ("SessionId", relay.session_sid),
        ("SessionStatus", status),
        ("SessionDuration", str(int(transaction.now_s - relay.since_s))),
        *((("HandoffData", data),) if status == "ended" and data else ()),
        *(WEBSOCKET_ERROR if status == "failed" else ()),
    )
    transaction.end_verb(call, relay.verb, relay.base_url, extra if relay.verb.has("action") else None)
