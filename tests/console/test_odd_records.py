"""Records and logs that Conferral did not write: a page gets an answer, and nothing fails.

The list of sessions is made for everyone at once, so that one odd record must not take it from all. A session that
can't be read gets no page, but a log may hold anything.
"""

import json
from dataclasses import fields as fields_of
from dataclasses import replace

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conferral.commands.forms import command_forms
from conferral.console import messages, session_view
from conferral.console.messages import encode_message
from conferral.console.messages import fields_of as fields_shown
from conferral.operations import statistics
from conferral.operations.explain import explanation, timeline
from conferral.operations.explain.attention import attention_of
from conferral.statemachine.parts import Attempt, Recording, TransferState
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import PartyStatus, TransferMode, TransferStage, TransferStatus
from conferral.storage.codecs import session_codec
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.session_codec import CorruptHashError, for_readers, load, public
from tests.conferral.cli_helpers import CREATED_MS, conferenced, log_entry

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
    """A record with everything in it, as JSON."""
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
    parties = {**base.parties, "target": target}
    session = replace(base, parties=parties, transfer=transfer, recording=Recording("RE1"), timers={"age": NOW_MS})
    return msgspec.json.decode(session_codec.encode(session)["session"])


#: The records of which a field is changed, by the way to each.
RECORDS = st.sampled_from([(), ("parties", "customer"), ("transfer",), ("recording",), ("timers",)])
KNOWN = sorted({field.name for kind in (Session, Party, TransferState, Recording) for field in fields_of(kind)})
VALUE = st.one_of(
    TEXT, st.sampled_from([int(HUGE), 2**53, -1, 0, 1e400, 1.5, True, None, [], {}, [[]], [None], {"calls": int(HUGE)}])
)
CHANGES = st.lists(st.tuples(RECORDS, st.one_of(st.sampled_from(KNOWN), st.text(max_size=20)), VALUE), max_size=6)
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


def changed(changes):
    """The hash with these fields changed, as another program may write it."""
    record = whole()
    for way, name, value in changes:
        there = record
        for part in way:
            there = there.get(part) if isinstance(there, dict) else None
        if isinstance(there, dict):
            there[name] = value
    text = json.dumps(record)  # also what is no JSON, such as infinity
    return {b"session": text.encode(), b"version": str(record["version"]).encode()}


def page_texts(session, log):
    """Everything that the console says of a session, as it goes over the socket."""
    moments = timeline.build_timeline(log)
    trouble = attention_of(session, NOW_MS)
    return [
        *(msgspec.json.encode(moment.public()) for moment in moments),
        encode_message("sessions", rows=[messages.row(session, trouble, {}, full=full) for full in (False, True)]),
        encode_message("summary", counts=statistics.count_sessions([(session, trouble)])),
        encode_message(
            "session",
            fields=fields_shown(session, full=False),
            parties=session_view.parties_of(session, session, full=False),
            explained=explanation.explain(session, moments, NOW_MS),
            buttons=command_forms(session),
            links=session_view.links_of(session),
            trouble=trouble,
            public=public(session),
        ),
    ]


@given(CHANGES, LOG)
@settings(max_examples=60)
@example([((), "created_at_ms", int(HUGE))], [("transfer", {"version": HUGE})])
@example([((), "created_at_ms", 10**15 - 1), (("timers",), "age", 10**15 - 1)], [])
def test_everything_is_shown_for_any_record_that_can_be_read_and_any_log(changes, entries):
    log = [LogEntry.of(f"{n}-0", {**log_entry(event), **more}) for n, (event, more) in enumerate(entries, start=1)]
    record = changed(changes)
    try:
        session = for_readers(load(conferenced().id, record))
    except CorruptHashError:
        session = conferenced()

    for message in page_texts(session, log):
        assert msgspec.json.decode(message) is not None
