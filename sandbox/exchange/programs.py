"""Runs a call's TwiML verb by verb.

Source: Twilio docs: TwiML for Programmable Voice (Say, Play, Pause, Redirect, Hangup, Reject, Gather).
"""

from __future__ import annotations

from conferral.sandbox.exchange import calls, conferences, dialing, twiml
from conferral.sandbox.exchange.model import Call, Gather, Program, Source
from conferral.sandbox.exchange.outputs import AskForKeys
from conferral.sandbox.exchange.texts import is_url, resolve
from conferral.sandbox.exchange.twiml import TwimlError, Verb
from conferral.sandbox.exchange.work import Work

APPLICATION_ERROR = (
    Verb("Say", (), "We are sorry, an application error has occurred. Goodbye."),
    Verb("Hangup"),
)
"""What a caller hears when no TwiML could be got."""


def answered(work: Work, call: Call) -> None:
    """A leg made by the Calls API was picked up: its SendDigits are dialled, then its TwiML runs."""
    if call.send_digits:
        call.activity = "sending-digits"
        work.set_timer(call.sid, "digits", digits_s(call.send_digits))
    elif call.start is not None:
        begin(work, call, call.start)


def digits_sent(work: Work, call: Call) -> None:
    """The last digit was dialled."""
    call.digits_sent = call.send_digits
    if call.start is not None:
        begin(work, call, call.start)


def digits_s(digits: str) -> float:
    """How long dialling takes: `w` waits half a second, `W` one; a digit itself counts nothing."""
    return 0.5 * digits.count("w") + 1.0 * digits.count("W")


def begin(work: Work, call: Call, source: Source) -> None:
    """Start new TwiML on a call that is tied to nobody."""
    call.generation += 1
    call.program = None
    call.gather = None
    work.stop_timer(call.sid, "verb")
    work.stop_timer(call.sid, "digits")
    if source.url:
        call.activity = "fetching"
        work.fetch(call, source, "program")
    else:
        load(work, call, "text/xml", source.twiml.encode(), "")


def load(
    work: Work,
    call: Call,
    content_type: str,
    body: bytes,
    url: str,
    *,
    whisper: bool = False,
    is_fallback: bool = False,
) -> None:
    """Run a document; one that can't be run is a failure as if it had not come."""
    try:
        media_type = content_type.partition("/")[0]
        verbs = (Verb("Play", (), url),) if media_type == "audio" else twiml.parse(content_type, body)
    except TwimlError as error:
        failed(work, call, error.code, error.message, url, whisper=whisper, is_fallback=is_fallback)
        return
    call.program = Program(verbs, url, whisper=whisper)
    call.gather = None
    run(work, call)


def failed(
    work: Work, call: Call, code: int, message: str, url: str, *, whisper: bool = False, is_fallback: bool = False
) -> None:
    """TwiML could not be got or run: the fallback is asked, once; else the caller hears a sentence and is hung up."""
    work.report(code, message, call.sid, url)
    call.generation += 1
    if whisper:
        calls.hang_up(work, call)
    elif call.fallback_url and not is_fallback:
        call.activity = "fetching"
        extra = (("ErrorCode", str(code)), ("ErrorUrl", url))
        work.fetch(call, Source(call.fallback_url, call.fallback_method), "program", extra, is_fallback=True)
    else:
        call.program = Program(APPLICATION_ERROR, "")
        run(work, call)


def run(work: Work, call: Call) -> None:
    """Do verbs until one takes time, hands the call to somebody, or the program is over."""
    while not call.is_final:
        program = call.program
        if program is None or program.position >= len(program.verbs):
            _over(work, call)
            return
        verb = program.verbs[program.position]
        program.position += 1
        if not _do(work, call, program, verb):
            return


def _over(work: Work, call: Call) -> None:
    if call.program is not None and call.program.whisper:
        work.later("bridge", call.sid)
        return
    calls.answered(work, call)  # an empty document answers and hangs up
    calls.hang_up(work, call)


def _do(work: Work, call: Call, program: Program, verb: Verb) -> bool:
    """Do one verb. Whether the next one follows at once."""
    if verb.name in {"Say", "Play", "Pause"}:
        _sound(work, call, verb)
    elif verb.name == "Dial" and not program.whisper:
        dialing.start(work, call, verb, program.base_url)
    elif verb.name == "Gather":
        calls.answered(work, call)
        call.gather = Gather(verb, program.base_url)
        call.activity = "gathering"
        work.emit(AskForKeys(call.sid))
        _prompt(work, call, call.gather)
    elif verb.name == "Redirect":
        _redirect(work, call, program, verb)
    elif verb.name == "Reject" and call.status == "ringing":
        busy = verb.get("reason", "rejected") == "busy"
        calls.end(work, call, "busy", 486 if busy else 603)
    elif verb.name in {"Hangup", "Reject"}:
        calls.answered(work, call)
        calls.hang_up(work, call)
    else:
        return True  # a Dial inside a whisper
    return False


def _sound(work: Work, call: Call, verb: Verb) -> None:
    if verb.name != "Pause":  # a Pause at the start keeps the call ringing
        calls.answered(work, call)
    call.activity = {"Say": "speaking", "Play": "playing", "Pause": "pausing"}[verb.name]  # type: ignore[assignment]
    lasts_s = twiml.seconds(verb, work.rules.say_s_per_character, work.rules.play_s)
    if lasts_s is not None:
        work.set_timer(call.sid, "verb", lasts_s)


def _redirect(work: Work, call: Call, program: Program, verb: Verb) -> None:
    url = resolve(program.base_url, verb.text)
    if not is_url(url):
        failed(work, call, 11100, "Invalid URL format", url, whisper=program.whisper)
        return
    call.activity = "fetching"
    purpose = "whisper" if program.whisper else "program"
    work.fetch(call, Source(url, verb.get("method", "POST").upper()), purpose)  # type: ignore[arg-type]


def _prompt(work: Work, call: Call, gather: Gather) -> None:
    prompts = gather.verb.children
    if gather.prompt < len(prompts):
        lasts_s = twiml.seconds(prompts[gather.prompt], work.rules.say_s_per_character, work.rules.play_s)
        if lasts_s is not None:
            work.set_timer(call.sid, "verb", lasts_s)
    else:
        work.set_timer(call.sid, "verb", gather.verb.number("timeout", 5.0))


def timer(work: Work, call: Call) -> None:
    """The verb's time is over: the next verb, the next prompt of a Gather, or its time-out."""
    gather = call.gather
    if gather is None:
        run(work, call)
    elif gather.prompt < len(gather.verb.children):
        gather.prompt += 1
        _prompt(work, call, gather)
    else:
        _gathered(work, call, gather)


def pressed(work: Work, call: Call, digits: str) -> None:
    """Keys were pressed; they matter to a Gather, and `*` to a Dial with hangupOnStar."""
    for digit in digits:
        gather = call.gather
        if gather is None:
            if digit == "*":
                dialing.star_pressed(work, call)
            continue
        gather.prompt = len(gather.verb.children)  # whoever types doesn't listen
        if digit == gather.verb.get("finishOnKey", "#"):
            _gathered(work, call, gather, digit)
            continue
        gather.digits += digit
        if len(gather.digits) >= gather.verb.number("numDigits", 10_000):
            _gathered(work, call, gather)
        else:
            _prompt(work, call, gather)


def _gathered(work: Work, call: Call, gather: Gather, finished_on: str = "") -> None:
    call.gather = None
    work.stop_timer(call.sid, "verb")
    if not gather.digits and not gather.verb.flag("actionOnEmptyResult", default=False):
        run(work, call)
        return
    call.activity = "fetching"
    whisper = call.program is not None and call.program.whisper
    source = Source(resolve(gather.base_url, gather.verb.get("action")), gather.verb.get("method", "POST").upper())
    call.generation += 1
    extra = (("Digits", gather.digits), ("FinishedOnKey", finished_on))
    work.fetch(call, source, "whisper" if whisper else "program", extra)


def redirect(work: Work, call: Call, source: Source) -> None:
    """The REST API gives a live call new TwiML: it lets go of whom it talks to, then runs it.

    A bridged child leaves its parent's Dial, whose action follows. A bridged parent loses its child; its old action
    is still requested, a moment later, and the new TwiML after that, so the new one wins.
    """
    old_action = None
    if call.activity == "conference" or call.conference_sid:
        conferences.leave(work, call, "participant_updated_via_api")
        if work.rules.old_action_on_conference_redirect:
            old_action = dialing.action_request(work, call, "answered", None)
    elif call.dial is not None:
        child = dialing.release_children(work, call)
        status = "completed" if call.dial.winner_sid else "canceled"
        if work.rules.old_action_on_redirect:
            old_action = dialing.action_request(work, call, status, child)
    elif call.parent_sid:
        dialing.child_gone(work, call)
    call.dial = None
    call.gather = None
    work.stop_timer(call.sid, "verb")
    work.stop_timer(call.sid, "dial-limit")
    if old_action is None:
        work.stop_timer(call.sid, "redirect")
        begin(work, call, source)
        return
    call.program = None
    call.activity = "fetching"
    call.generation += 1
    call.old_action = old_action
    call.pending = source
    work.set_timer(call.sid, "old-action", work.rules.old_action_after_s)
    work.set_timer(call.sid, "redirect", work.rules.redirect_target_after_s)
