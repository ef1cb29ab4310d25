"""Records and logs that Conferral did not write: a page gets an answer, and nothing fails.

The list of sessions is made for everyone at once, so that one odd record must not take it from all. A session that
can't be read gets no page, but a log may hold anything.
"""

from dataclasses import fields as fields_of

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conferral.commands.forms import command_forms
from conferral.console import messages, session_view
from conferral.console.messages import encode_message, redact_fields
from conferral.operations import statistics
from conferral.operations.explain import explanation, timeline
from conferral.operations.explain.attention import attention_of
from conferral.statemachine.parts import Attempt, Recording, TransferState
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import PartyStatus, TransferMode, TransferStage, TransferStatus
from conferral.storage.codecs import session_codec
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.session_codec import stored_session
from tests.conferral.cli_helpers import CREATED_MS, conferenced, log_entry
from tests.support.log_replay import at_version

NOW_MS = CREATED_MS + 100_000
HUGE = "9" * 30
ODD = (
    "", "0", "-1", HUGE, "1e400", "nan", "٣", "true", "null", "[]", "{}", "[[]]", "[null]", "[1]", '"x"', "{",
    '[{"kind":1}]', '[{"kind":"redirect_call","id":[]}]', '[{"type":{}}]', '{"state":null}', '{"version":7}',
    "999999999999999", "2026-13-45T99:99:99Z", "0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999+23:59",
    f'{{"calls": {HUGE}}}', "ring=999999999999999", "ring", "=", "customer", "ended", "conferenced", "connected",
    "left", "recall", "failed", "+14155550123", "client:<b>\x00\x1b", "\u202e", "a" * 200, "{}", "{0}",
)  # fmt: skip
TEXT = st.one_of(st.sampled_from(ODD), st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
EVENTS = st.sampled_from(
    ["call_progressed", "effect_succeeded", "effect_failed", "calls_read", "participant_changed", "recording_changed",
     "announcement_ended", "stage_overdue", "gate_decided", "dial_ended", "transfer", "account_swept"]
)  # fmt: skip


def whole():
    """A record with everything in it."""
    target = Party("target", "target-1", "CA" + "5" * 32, "+14155550145", PartyStatus.RINGING)
    attempt = Attempt("target", "+14155550145", "d1", CREATED_MS, ended_at_ms=CREATED_MS + 5, result="busy")
    transfer = TransferState(
        1,
        TransferMode.CONSULT,
        ("+14155550145",),
        status=TransferStatus.FAILED,
        stage=TransferStage.OVER,
        attempts=(attempt,),
    )
    base = conferenced()
    return session_codec.encode(base) | session_codec.encode(
        type(base)(base.id, parties={**base.parties, "target": target}, transfer=transfer, timers={"age": NOW_MS})
    )


RECORD = whole()
#: Every field that a record can have, as far as it is about the customer, the session, a transfer or a recording.
KNOWN = sorted(
    set(RECORD).union(
        f"{prefix}{field.name.removesuffix('_ms')}"
        for prefix, kind in (
            ("", Session), ("party.customer.", Party), ("transfer.", TransferState), ("recording.", Recording)
        )
        for field in fields_of(kind)
    )
)  # fmt: skip
NAMES = st.one_of(st.sampled_from(KNOWN), st.text(max_size=20), st.just("party..status"))
LOG_FIELDS = (
    "at", "version", "details", "effects", "reports", "changes", "reason", "outcome", "from", "to", "effect",
)  # fmt: skip
LOG = st.lists(
    st.tuples(
        st.one_of(EVENTS, TEXT),
        st.dictionaries(
            st.sampled_from(LOG_FIELDS),
            TEXT,
            max_size=4,
        ),
    ),
    max_size=4,
)


def page_texts(fields, log):
    """Everything that the console says of a session, as it goes over the socket."""
    session = stored_session(fields)
    moments = timeline.build_timeline(log)
    then = stored_session(at_version(log, 3, fields))
    found = [encode_message("session", then=explanation.explain(then, moments, NOW_MS))]
    found += [msgspec.json.encode(moment.public()) for moment in moments]
    if session.damaged:
        return found
    trouble = attention_of(session, NOW_MS)
    return [
        *found,
        encode_message("sessions", rows=[messages.row(session, trouble, {}, full=full) for full in (False, True)]),
        encode_message("summary", counts=statistics.count_sessions([(session, trouble)])),
        encode_message(
            "session",
            fields=redact_fields(fields, full=False),
            parties=session_view.parties_of(session, session, full=False),
            explained=explanation.explain(session, moments, NOW_MS),
            buttons=command_forms(session),
            links=session_view.links_of(session),
            trouble=trouble,
        ),
    ]


@given(st.dictionaries(NAMES, TEXT, max_size=6), LOG)
@settings(max_examples=30)
@example({"version": HUGE, "created_at": HUGE}, [("transfer", {"version": HUGE})])
def test_everything_is_shown_for_any_record_and_log(changes, entries):
    log = [LogEntry.of(f"{n}-0", {**log_entry(event), **more}) for n, (event, more) in enumerate(entries, start=1)]

    for message in page_texts(RECORD | changes, log):
        assert msgspec.json.decode(message) is not None
