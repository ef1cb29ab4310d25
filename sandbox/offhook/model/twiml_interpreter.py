"""TwiML interpreter: runs a call's verbs once their document has arrived."""

from collections.abc import Callable, Mapping

from offhook.model import (
    bots,
    calls,
    conferences,
    dialing,
    machine_detection,
    participant_updates,
    payments,
    recorder,
    text_messages,
    twiml_grammar,
    twiml_parser,
)  # fmt: skip
from offhook.model.formats import is_url, resolve
from offhook.model.messages import NOT_MODELED, AskForKeys, AskForSpeech, Params, TwimlFetched
from offhook.model.queues import enqueue, leave_queue, request_wait_document
from offhook.model.state import Call, Detection, Fetch, Gather, Payment, Source, TwimlProgram
from offhook.model.transaction import Task, Transaction
from offhook.model.twiml_parser import Document, TwimlError, Verb


def on_twiml_fetched(transaction: Transaction, fetch: Fetch, input_: TwimlFetched) -> None:
    """Continue with a document, or without: TwiML, or participants' audio."""
    if not 200 <= input_.status < 300:
        code = 11200 if input_.status else input_.error_code
        _fetch_failed(transaction, fetch, code, f"HTTP retrieval failure: {input_.failure}")
        return
    base_url = input_.url or fetch.url
    if fetch.purpose in conferences.AUDIO_FIELDS:
        participant_updates.on_document(transaction, fetch, input_.content_type, input_.body, base_url)
    elif fetch.purpose != "ignored" and _is_current(transaction, fetch):
        run_document(
            transaction, transaction.call(fetch.call_sid), input_.content_type, input_.body, base_url,
            whisper=fetch.purpose == "whisper", is_fallback=fetch.is_fallback,
        )  # fmt: skip


def _fetch_failed(transaction: Transaction, fetch: Fetch, code: int, message: str) -> None:
    if fetch.purpose in conferences.AUDIO_FIELDS:
        transaction.add_debugger_entry(code, message, fetch.call_sid, fetch.url)
        participant_updates.on_document_failed(transaction, fetch, TwimlError(code, message))
    elif fetch.purpose == "ignored" or not _is_current(transaction, fetch):
        transaction.add_debugger_entry(code, message, fetch.call_sid, fetch.url)
    else:
        on_failure(
            transaction, transaction.call(fetch.call_sid), code, message, fetch.url,
            whisper=fetch.purpose == "whisper", is_fallback=fetch.is_fallback,
        )  # fmt: skip


def _is_current(transaction: Transaction, fetch: Fetch) -> bool:
    call = transaction.state.calls[fetch.call_sid]
    return not call.is_final and call.generation == fetch.generation and call.activity == "fetching"


APPLICATION_ERROR = (Verb("Say", (), "We are sorry, an application error has occurred. Goodbye."), Verb("Hangup"))
"""What a caller hears if no TwiML could be fetched."""


SPEECH_CONFIDENCE = "0.9"  #: Of each speech recognition, from 0 to 1.


def on_answered(transaction: Transaction, call: Call) -> None:
    """Run a Calls API leg: its SendDigits or machine detection, its TwiML."""
    if call.detection is not None and not call.detection.in_background:
        return
    if call.send_digits:
        calls.send_digits(transaction, call)
    elif call.start is not None:
        begin(transaction, call, call.start)


def on_detected(transaction: Transaction, call: Call, detection: Detection) -> None:
    """Keep what answered; request the TwiML, unless it runs already."""
    found = machine_detection.finish(transaction, call, detection)
    if call.activity == "detecting" and call.start is not None:
        begin(transaction, call, call.start, found)


def begin(transaction: Transaction, call: Call, source: Source, extra: Params = ()) -> None:
    """Start new TwiML on an unconnected call, replacing any that runs."""
    call.generation += 1
    call.program = None
    call.gather = None
    call.redirects.clear()
    transaction.stop_timer(call.sid, "verb")
    transaction.stop_timer(call.sid, "digits")
    if source.url:
        call.activity = "fetching"
        transaction.fetch(call, source, "program", extra)
    else:
        run_document(transaction, call, "text/xml", source.twiml.encode(), "")


def run_document(
    transaction: Transaction,
    call: Call,
    content_type: str,
    body: bytes,
    url: str,
    *,
    whisper: bool = False,
    is_fallback: bool = False,
) -> None:
    """Run TwiML, or play an audio file; an invalid one is a failed fetch."""
    try:
        in_queue = twiml_grammar.WAIT_VERBS if whisper else twiml_grammar.QUEUE_VERBS
        allowed = twiml_grammar.VERBS if call.queue_stay is None else in_queue
        if content_type.startswith("audio/"):
            document = Document((Verb("Play", (), url),))
        else:
            document = twiml_parser.parse_twiml(content_type, body, allowed, strict=transaction.strict)
    except TwimlError as error:
        on_failure(transaction, call, error.code, error.message, url, whisper=whisper, is_fallback=is_fallback)
        return
    transaction.add_remarks(document.remarks, call.sid, url)
    call.program = TwimlProgram(document.verbs, url, whisper=whisper)
    call.gather = None
    run(transaction, call)


def on_failure(
    transaction: Transaction,
    call: Call,
    code: int,
    message: str,
    url: str,
    *,
    whisper: bool = False,
    is_fallback: bool = False,
) -> None:
    """Request the fallback once, else say that it failed, and hang up.

    A failed whisper (the TwiML of a noun's `url`) ends a dialed call; a call in or from a queue leaves it.
    """
    transaction.add_debugger_entry(code, message, call.sid, url, level="error")
    call.generation += 1
    if call.queue_stay is not None:
        dialing.end_queue_stay(transaction, call, call.queue_stay, "error")
    elif whisper:
        calls.hang_up(transaction, call)
    elif call.fallback_url and not is_fallback:
        call.activity = "fetching"
        extra = (("ErrorCode", str(code)), ("ErrorUrl", url))
        transaction.fetch(call, Source(call.fallback_url, call.fallback_method), "program", extra, is_fallback=True)
    else:
        call.program = TwimlProgram(APPLICATION_ERROR, "")
        run(transaction, call)


def run(transaction: Transaction, call: Call) -> None:
    """Run the next verb, or end the program."""
    program = call.program
    if call.is_final:
        return
    if program is None or program.position >= len(program.verbs):
        _on_program_over(transaction, call)
        return
    program.position += 1
    verb = program.verbs[program.position - 1]
    if verb.name != "Redirect":
        call.redirects.clear()
    _execute(transaction, call, program, verb)


def _on_program_over(transaction: Transaction, call: Call) -> None:
    """After the last verb: bridge a whispered call, wait on, or hang up."""
    if call.program is not None and call.program.whisper:  # the callee has heard it and may talk to the caller
        transaction.tasks.append(Task("bridge", call.sid))
        return
    if call.queue_stay is not None:
        request_wait_document(transaction, call, call.queue_stay)
        return
    calls.answer(transaction, call)  # an empty document answers and hangs up
    calls.hang_up(transaction, call)


_STARTS: Mapping[str, Callable[[Transaction, Call, Verb, str], None]] = {
    "Connect": bots.start,
    "Dial": dialing.start,
    "Pay": payments.start,
    "Record": recorder.start,
    "Sms": text_messages.send_from_call,
    "Start": recorder.start_in_background,
}


def _execute(transaction: Transaction, call: Call, program: TwimlProgram, verb: Verb) -> None:
    """Start one verb of a call's document."""
    if verb.name in {"Say", "Play", "Pause"}:
        _start_timed_verb(transaction, call, verb)
    elif verb.name == "Dial" and program.whisper:
        error = "Dial: Cannot Dial out from a Dial Call Segment"
        on_failure(transaction, call, 13201, error, program.base_url, whisper=True)
    elif verb.name in _STARTS:
        _STARTS[verb.name](transaction, call, verb, program.base_url)
    elif verb.name == "Gather":
        _start_gather(transaction, call, Gather(verb, program.base_url))
    elif verb.name == "Enqueue":
        enqueue(transaction, call, verb, program)
    elif verb.name == "Leave" and call.queue_stay is not None:
        leave_queue(transaction, call, call.queue_stay, "leave")
    elif verb.name == "Leave":  # outside a queue, there is nothing to leave
        run(transaction, call)
    elif verb.name == "Redirect":
        _follow_redirect(transaction, call, program, verb)
    elif verb.name == "Reject" and call.status == "ringing":
        is_busy = verb.get("reason") == "busy"
        calls.end(transaction, call, "busy" if is_busy else "no-answer", 486 if is_busy else 603)
    else:  # Hangup, or a Reject that isn't the first verb
        calls.answer(transaction, call)
        calls.hang_up(transaction, call)


def _start_timed_verb(transaction: Transaction, call: Call, verb: Verb) -> None:
    if verb.name != "Pause":  # a Pause at the start keeps the call ringing
        calls.answer(transaction, call)
    call.digits_sent += verb.get("digits")
    call.activity = {"Say": "speaking", "Play": "playing", "Pause": "pausing"}[verb.name]  # type: ignore[assignment]
    transaction.set_timer(call.sid, "verb", twiml_parser.duration_s(verb, transaction.behavior))


def _follow_redirect(transaction: Transaction, call: Call, program: TwimlProgram, verb: Verb) -> None:
    url = resolve(program.base_url, verb.text)
    if not is_url(url):
        on_failure(transaction, call, 11100, "Invalid URL format", url, whisper=program.whisper)
        return
    if url in call.redirects and not program.is_paced:
        _pace(transaction, call, program, url)
        return
    call.redirects.setdefault(url, False)
    call.activity = "fetching"
    purpose = "whisper" if program.whisper else "program"
    transaction.fetch(call, Source(url, verb.get("method", "POST").upper()), purpose)  # type: ignore[arg-type]


def _pace(transaction: Transaction, call: Call, program: TwimlProgram, url: str) -> None:
    """Wait before a redirect that leads round in a circle; report the first."""
    if not call.redirects[url]:
        call.redirects[url] = True
        message = f"{url} redirects to itself at once, which would never end; the sandbox follows once a second"
        transaction.add_debugger_entry(NOT_MODELED, message, call.sid, url, level="warning")
    program.is_paced = True
    program.position -= 1
    call.activity = "pausing"
    transaction.set_timer(call.sid, "verb", transaction.behavior.wait_document_pause_s)


def _start_gather(transaction: Transaction, call: Call, gather: Gather) -> None:
    calls.answer(transaction, call)
    call.gather = gather
    call.activity = "gathering"
    if gather.takes("dtmf"):
        transaction.outputs.append(AskForKeys(call.sid))
    if gather.takes("speech"):
        transaction.outputs.append(AskForSpeech(call.sid))
    _prompt_or_wait(transaction, call, gather)


def _prompt_or_wait(transaction: Transaction, call: Call, gather: Gather) -> None:
    prompts = gather.verb.children
    if gather.prompt < len(prompts):
        transaction.set_timer(call.sid, "verb", twiml_parser.duration_s(prompts[gather.prompt], transaction.behavior))
    else:
        transaction.set_timer(call.sid, "verb", gather.verb.number("timeout", 5.0))


def on_verb_over(transaction: Transaction, call: Call) -> None:
    """Continue with the next verb, prompt, or sentence, or end the verb."""
    gather = call.gather
    if call.record is not None:
        recorder.finish(transaction, call)
    elif call.relay is not None:
        bots.go_on(transaction, call, call.relay)
    elif gather is None:
        _press_at_other_end(transaction, call)
        run(transaction, call)
    elif isinstance(gather, Payment):
        payments.check(transaction, call, gather)
    elif gather.prompt < len(gather.verb.children):
        gather.prompt += 1
        _prompt_or_wait(transaction, call, gather)
    else:
        _finish_gather(transaction, call, gather)


def _press_at_other_end(transaction: Transaction, call: Call) -> None:
    """Let the other leg of a call from the account to itself hear played keys."""
    program = call.program
    if program is not None and program.position and call.far_sid:
        keys = program.verbs[program.position - 1].get("digits")
        on_keys(transaction, transaction.call(call.far_sid), keys.replace("w", "").replace("W", ""))


def on_keys(transaction: Transaction, call: Call, digits: str) -> None:
    """Pass pressed keys to a Gather, Pay, or Record, or `*` to a Dial."""
    for digit in digits:
        gather = call.gather
        if call.record is not None:
            recorder.press(transaction, call, digit)
            continue
        if gather is None:
            if digit == "*" and call.dial is not None and call.dial.verb.flag("hangupOnStar", default=False):
                dialing.cut_short(transaction, call)
            continue
        if isinstance(gather, Payment):
            payments.press(transaction, call, gather, digit)
            continue
        if not gather.takes("dtmf"):
            continue
        gather.prompt = len(gather.verb.children)  # typing stops the prompts
        if digit == gather.verb.get("finishOnKey", "#"):
            _finish_gather(transaction, call, gather, digit)
            continue
        gather.digits += digit
        if len(gather.digits) >= gather.verb.number("numDigits", 10_000):
            _finish_gather(transaction, call, gather)
        else:
            _prompt_or_wait(transaction, call, gather)


def on_speech(transaction: Transaction, call: Call, gather: Gather, text: str) -> None:
    """Pass what the caller says to a Gather; a pause then ends it.

    Source: Twilio docs, TwiML <Gather>, `speechTimeout`; with `auto`, the first pause ends it.
    """
    gather.prompt = len(gather.verb.children)  # speech stops the prompts
    gather.speech = f"{gather.speech} {text}".strip()
    is_auto = gather.verb.get("speechTimeout") == "auto"
    pause_s = 0.0 if is_auto else gather.verb.number("speechTimeout", gather.verb.number("timeout", 5.0))
    transaction.set_timer(call.sid, "verb", len(text) * transaction.behavior.say_s_per_character + pause_s)


def _finish_gather(transaction: Transaction, call: Call, gather: Gather, finished_on: str = "") -> None:
    """Send keys or speech to the Gather's action; without, run the next verb."""
    call.gather = None
    transaction.stop_timer(call.sid, "verb")
    if gather.speech and not gather.digits:
        heard = (("SpeechResult", gather.speech), ("Confidence", SPEECH_CONFIDENCE))
        transaction.end_verb(call, gather.verb, gather.base_url, heard)
        return
    if not gather.digits and not gather.verb.flag("actionOnEmptyResult", default=False):
        run(transaction, call)
        return
    extra = (("Digits", gather.digits), ("FinishedOnKey", finished_on), ("msg", "Gather End"))
    transaction.end_verb(call, gather.verb, gather.base_url, extra)


def redirect_call(transaction: Transaction, call: Call, source: Source) -> None:
    """Disconnect a live call from its peers, then run new TwiML.

    A bridged child leaves its parent's Dial, whose action follows. A bridged parent loses its child; its old action is
    still requested, a moment later, and the new TwiML after that, so the new one wins. Source: Twilio changelog,
    2021-05-24, "Changes to <Dial> behavior for Enhanced Programmable SIP Feature Accounts".
    """
    old_action = None
    if call.activity == "conference" or call.conference_sid:
        conferences.leave(transaction, call, "participant_updated_via_api")
    elif call.dial is not None:
        child = dialing.hang_up_children(transaction, call)
        status = "completed" if call.dial.winner_sid else "canceled"
        if transaction.behavior.old_action_on_redirect:
            old_action = dialing.action_request(transaction, call, status, child) or _next_redirect(call)
    elif call.parent_sid:
        dialing.on_child_left(transaction, call)
    call.dial = None
    call.gather = call.relay = None
    if call.queue_stay is not None:
        result = "redirected-from-bridged" if call.queue_stay.dialer_sid else "redirected"
        dialing.end_queue_stay(transaction, call, call.queue_stay, result)
    if call.record is not None:
        recorder.stop(transaction, call, call.record)
    transaction.stop_timer(call.sid, "verb")
    transaction.stop_timer(call.sid, "dial-limit")
    if old_action is None:
        transaction.stop_timer(call.sid, "redirect")
        begin(transaction, call, source)
        return
    call.program = None
    call.activity = "fetching"
    call.generation += 1
    call.old_action = old_action
    call.redirect_target = source
    transaction.set_timer(call.sid, "old-action", transaction.behavior.old_action_after_s)
    transaction.set_timer(call.sid, "redirect", transaction.behavior.redirect_target_after_s)


def _next_redirect(call: Call) -> tuple[Source, Params] | None:
    """Return the Redirect after a Dial, which Twilio requests in vain."""
    program = call.program
    if program is None or program.position >= len(program.verbs):
        return None
    verb = program.verbs[program.position]
    if verb.name != "Redirect":
        return None
    return Source(resolve(program.base_url, verb.text), verb.get("method", "POST").upper()), ()
