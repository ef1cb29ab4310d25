"""Reads that are too small for every call: the rest is read next, and nothing is concluded about it before."""

from dataclasses import replace

from conferral.statemachine.effects import ReadCalls
from conferral.statemachine.events import (
    AccountSwept,
    CallSeen,
    CallsRead,
    ConferenceFound,
    ParticipantChanged,
    ParticipantFound,
    ParticipantSeen,
)
from conferral.statemachine.session import Session
from tests.statemachine.scenario import CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import conferenced

SIDS = tuple(f"CA{number:032x}" for number in range(60))


def crowded() -> Scenario:
    """Sixty people in a conference whose calls are being read."""
    story = Scenario()
    people = [ParticipantFound(call_sid=sid, label=f"guest-{at}-{at + 1}") for at, sid in enumerate(SIDS)]
    people[0] = replace(people[0], label="customer-1", came_in=True)
    people[1] = replace(people[1], label="agent-1")
    story.take(ConferenceFound(**story.common(token="sweep:1"), conference_sid=CONFERENCE, participants=tuple(people)))
    return swept(story)


def swept(story: Scenario) -> Scenario:
    return story.take(
        AccountSwept(
            **story.common(token=f"sweep:{story.session.version + 1}"), finding="call-missing", call_sid=SIDS[0]
        )
    )


def last_read(story: Scenario) -> ReadCalls:
    (read,) = (effect for effect in story.last.effects if isinstance(effect, ReadCalls))
    return read


def reads(
    story: Scenario, *, over: tuple[str, ...], inside: int, unread: tuple[str, ...], version: int | None = None
) -> Scenario:
    return story.take(
        CallsRead(
            **story.common(),
            effect_id=story.session.open_read_id,
            read_version=story.session.version if version is None else version,
            calls=tuple(CallSeen(sid, "completed") for sid in over),
            conference_sid=CONFERENCE,
            participants=tuple(ParticipantSeen(call_sid=sid) for sid in SIDS[:inside]),
            unread=unread,
        )
    )


def gone(session: Session) -> set[str]:
    return {party.call_sid for party in session.parties.values() if party.is_gone} | {*session.former_calls}


def test_calls_that_were_left_out_are_read_next() -> None:
    story = crowded()
    assert set(last_read(story).call_sids) == set(SIDS)

    reads(story, inside=1, over=SIDS[1:21], unread=SIDS[21:])
    assert gone(story.session) == set(SIDS[1:21])
    assert set(last_read(story).call_sids) == set(SIDS[21:])

    reads(story, inside=1, over=SIDS[21:], unread=())
    assert gone(story.session) == set(SIDS[1:])
    assert not story.session.open_read_id
    assert not story.session.unread_calls


def test_calls_that_were_left_out_are_read_next_during_a_transfer() -> None:
    story = swept(conferenced().transfer("consult").confirms("agent"))
    customer, agent = (story.session.parties[name].call_sid for name in ("customer", "agent"))
    shown = tuple(ParticipantSeen(call_sid=sid) for sid in (customer, agent))
    read = last_read(story)
    story.take(
        CallsRead(
            **story.common(), effect_id=read.effect_id, read_version=story.session.version,
            calls=(), conference_sid=CONFERENCE, participants=shown, unread=(agent,),
        )
    )  # fmt: skip
    assert set(last_read(story).call_sids) == {agent}


def test_all_calls_are_read_if_a_difference_is_found_while_a_read_is_open() -> None:
    story = crowded()
    opened = story.session.open_read_id
    assert set(last_read(swept(story)).call_sids) == {*SIDS}
    assert story.session.open_read_id != opened
    reads(story, inside=40, over=SIDS[40:50], unread=SIDS[50:])
    assert set(last_read(story).call_sids) == {*SIDS[50:]}


def test_read_says_nothing_of_one_who_was_held_since_it_began_but_shows_all_others() -> None:
    story = crowded().later(20_000)
    began = swept(story).session.version
    common = story.common(CONFERENCE, 1)
    story.take(ParticipantChanged(**common, conference_sid=CONFERENCE, call_sid=SIDS[5], held=True))
    reads(story, inside=3, over=SIDS[10:21], unread=SIDS[21:], version=began)
    session = story.session
    assert gone(session) == {*SIDS[10:21]}
    assert {one.call_sid for one in session.participants} == {*SIDS[:3], SIDS[5]}
    assert [one.call_sid for one in session.participants if one.held] == [SIDS[5]]
    assert set(last_read(story).call_sids) == {*SIDS[21:]}


def test_ring_with_early_media_is_read_even_if_the_conference_shows_it() -> None:
    story = conferenced().transfer("warm").confirms("agent")
    story.placed("target").call("target", "ringing")
    target = story.session.parties["target"]
    assert target.early_media
    swept(story)
    assert last_read(story).unproven_sids == (target.call_sid,)
    # Those whose ring may be over come first, in case the read is too small for all.
    assert last_read(story).call_sids[0] == target.call_sid
