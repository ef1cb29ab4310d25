"""Records: what they hide, and what `dataclasses` can do with them."""

import gc
from dataclasses import MISSING, asdict, fields, is_dataclass
from dataclasses import replace as dataclass_replace
from inspect import Parameter, signature

import msgspec
import pytest
from rich.pretty import pretty_repr

from conferral.statemachine.effects import EFFECTS, CreateCall
from conferral.statemachine.events import EVENTS, Call, CallReceived, Press
from conferral.statemachine.parts import Attempt, DialOptions, PendingCommand, TransferMode, TransferState
from conferral.statemachine.record import BaseRecord, Hidden, replace
from conferral.statemachine.session import Party, Session
from conferral.statemachine.step import Conclusion
from tests.support.each import each


def kinds(of=BaseRecord):
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


#: Fields that hold phone numbers, messages, or tokens, whatever record they are in.
PRIVATE = {"address", "customer_address", "agent_address", "agent", "customer", "caller_id", "call_token",
           "called_number", "our_number", "called", "other_agents", "agents", "parked_by", "to", "say", "greeting",
           "params"}  # fmt: skip


@each("kind", [*kinds()])
def test_no_repr_shows_a_private_field(kind):
    hidden = {field.name for field in fields(kind) if not field.repr}

    assert {field.name for field in fields(kind)} & PRIVATE <= hidden


@each("field", ["address", "options", "dialed"])
def test_class_that_logs_a_private_field_is_not_made(field):
    hints = {"address": Hidden[str], "options": DialOptions, "dialed": tuple[Attempt, ...]}
    with pytest.raises(TypeError, match=f"Leaky logs {field}, which must not reach a log"):
        type("Leaky", (BaseRecord,), {"__annotations__": hints, "logged": (field,)}, frozen=True)
    gc.collect()  # no other test finds it among the subclasses


@each("kind", [*kinds()])
def test_garbage_collection_looks_at_no_record(kind):
    assert not kind.__struct_config__.gc


@each("record", [
    Party("agent", "agent-1", address="SECRET", options=DialOptions(caller_id="SECRET")),
    Session("CA1", agents=("SECRET",), parked_by="SECRET", call_token="SECRET", called_number="SECRET", number="SECRET",
            parties={"agent": Party("agent", "agent-1", address="SECRET")}),
    TransferState(1, TransferMode.WARM, ("SECRET",), attempts=(Attempt("target", "SECRET", "D1", 1),)),
    PendingCommand("c1", "announce", to="SECRET", url="SECRET", say="SECRET"),
    Conclusion("o1", "transfer", "CA1", "completed", to="SECRET", our_number="SECRET"),
    Press(session_id="CA1", party="agent", digits="SECRET"),
    Call(agent="SECRET", customer="SECRET", options=DialOptions(caller_id="SECRET")),
    CallReceived(session_id="CA1", call_sid="CA1", customer_address="SECRET", agent_address="SECRET"),
    CreateCall(
        effect_id="E1", session_id="CA1", to="SECRET", options=DialOptions(caller_id="SECRET"), call_token="SECRET"
    ),
])  # fmt: skip
def test_a_repr_shows_everything_but_what_is_private(record):
    shown = repr(record)

    assert "SECRET" not in shown
    assert "SECRET" not in pretty_repr(record)
    assert shown.startswith(f"{type(record).__name__}(")
    assert all(f"{field.name}={getattr(record, field.name)!r}" in shown for field in fields(record) if field.repr)


@each("kind", [*EVENTS, *EFFECTS, Session, Party])
def test_dataclasses_knows_the_fields_of_a_record(kind):
    needed = {field.name: "x" for field in fields(kind) if field.default is field.default_factory is MISSING}
    record = kind(**needed)

    assert is_dataclass(record)
    assert tuple(field.name for field in fields(kind)) == kind.__struct_fields__
    assert asdict(record).keys() == set(kind.__struct_fields__)
    assert dataclass_replace(record) == replace(record) == record


#: Defaults that are not no, none, or nothing, and are not stored.
UNUSUAL = {
    "Party.conference_sequence": -1,
    "Recording.wanted": "in-progress",
    "TransferState.stage": "converting", "ConferenceAttributes.record": "false",
    "RedirectCall.attempt": 1, "CallReceived.mode": "bridge", "Call.mode": "bridge",
    "CallReceived.direction": "inbound",
    "ParticipantJoined.start_on_enter": True, "ParticipantSeen.start_on_enter": True,
}  # fmt: skip


def test_what_is_not_stored_is_no_none_or_nothing_with_few_exceptions():
    """A stored record leaves out what equals its default, so another default would change what is stored."""
    assert msgspec.json.encode(Party("agent", "agent-1")) == b'{"name":"agent","label":"agent-1","status":"dialing"}'
    found = {
        f"{kind.__name__}.{field.name}": field.default
        for kind in kinds()
        for field in fields(kind)
        if kind.__module__.startswith("conferral.statemachine.") and field.name in kind.__annotations__
    }
    nothing = (MISSING, False, None, "", ())
    assert {
        name: value for name, value in found.items() if value not in nothing and not isinstance(value, BaseRecord)
    } == UNUSUAL


@each("kind", [*EVENTS, *EFFECTS])
def test_fields_of_events_and_effects_are_given_by_name(kind):
    assert {one.kind for one in signature(kind).parameters.values()} == {Parameter.KEYWORD_ONLY}
