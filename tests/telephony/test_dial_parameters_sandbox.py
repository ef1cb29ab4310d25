"""Our documents, requests and callbacks together, played on the sandbox: what one side says, the other understands."""

from dataclasses import replace
from typing import Any

import pytest

from conferral.runtime.errors import OutcomeUnknownError, ProviderGoneError
from conferral.statemachine.effects import CreateCall, CreateParticipant, FindCall, SayAndHangUp, UpdateParticipant
from conferral.statemachine.events import CallProgressed, ParticipantChanged, ParticipantJoined, ParticipantSeen
from conferral.telephony import callback_urls
from conferral.telephony.callback_urls import Gate
from conferral.telephony.parameters.dial import PlacedCall
from tests.telephony.sandbox_call import OWN, SESSION, TARGET, SandboxCallLine, customer_waits


def participant(conference: str, **changes: Any) -> CreateParticipant:
    return replace(
        CreateParticipant(
            effect_id="d1", session_id=SESSION, party="target", to=TARGET, timeout_s=20, conference=conference,
            label="target-2", early_media=False,
        ),
        **changes,
    )  # fmt: skip


CALL = CreateCall(effect_id="d2", session_id=SESSION, party="target", to="client:alice", timeout_s=60)


async def test_waiting_party_is_reported_as_not_starting_the_conference(line: SandboxCallLine) -> None:
    conference = await customer_waits(line)

    (joined,) = line.of(ParticipantJoined)
    assert (joined.label, joined.start_on_enter) == ("customer-1", False)
    assert line.waits[0] == callback_urls.Wait(SESSION, "customer", callback_urls.WaitAudio.RINGBACK)
    read = await line.read()
    assert (read.conference_sid, [seen.label for seen in read.participants]) == (conference, ["customer-1"])


async def test_wait_audio_is_requested_again_when_it_ends(line: SandboxCallLine) -> None:
    await customer_waits(line)

    await line.until(lambda: len(line.waits) >= 3)


async def test_callbacks_of_a_directly_dialed_party_carry_the_dial(line: SandboxCallLine) -> None:
    conference = await customer_waits(line)
    line.sandbox.phone(TARGET).script(answer_after_s=2)

    dialed = await line.calls.perform(participant(conference))
    await line.until(lambda: len(line.of(ParticipantJoined)) == 2)

    assert isinstance(dialed, PlacedCall)
    steps = [event for event in line.of(CallProgressed) if event.call_sid == dialed.call_sid]
    assert {(event.party, event.dial) for event in steps} == {("target", "d1")}
    await line.until(lambda: {event.status for event in line.of(CallProgressed)} >= {"initiated", "ringing",
                                                                                     "in-progress"})  # fmt: skip
    joined = line.of(ParticipantJoined)[1]
    assert (joined.call_sid, joined.label, joined.start_on_enter) == (dialed.call_sid, "target-2", True)


async def test_ringing_party_is_found_by_the_label(line: SandboxCallLine) -> None:
    conference = await customer_waits(line)
    line.sandbox.phone(TARGET).script(answer_after_s=None)
    effect = participant(conference)

    assert await line.calls.find_dial(effect) == ""
    dialed = await line.calls.perform(effect)

    assert isinstance(dialed, PlacedCall)
    assert await line.calls.find_dial(effect) == dialed.call_sid


async def test_a_label_that_is_in_use_leaves_the_outcome_to_be_read(line: SandboxCallLine) -> None:
    """No label is used twice, so an earlier copy of the request was carried out."""
    conference = await customer_waits(line)

    with pytest.raises(OutcomeUnknownError) as caught:
        await line.calls.perform(participant(conference, label="customer-1"))

    assert caught.value.code == 16026
    assert [call.sid for call in line.sandbox.calls_of(TARGET)] == []


async def test_no_one_is_dialed_into_a_nonexistent_conference(line: SandboxCallLine) -> None:
    with pytest.raises(ProviderGoneError):
        await line.calls.perform(participant("CF" + "0" * 32))


async def test_hold_and_flag_are_confirmed_by_a_callback_and_by_a_read(line: SandboxCallLine) -> None:
    conference = await customer_waits(line)
    line.sandbox.phone(TARGET).script(answer_after_s=0)
    await line.calls.perform(participant(conference))
    await line.until(lambda: len(line.of(ParticipantJoined)) == 2)
    assert line.caller is not None
    update = UpdateParticipant(
        effect_id="u1", session_id=SESSION, party="customer", call_sid=line.caller.sid, conference_sid=conference
    )

    assert await line.calls.perform(replace(update, hold=True, wait_audio="music")) is True
    await line.until(lambda: line.of(ParticipantChanged) and line.waits[-1].wait_audio == callback_urls.WaitAudio.MUSIC)
    held = line.of(ParticipantChanged)[0]
    inside = (await line.read()).participants

    assert (held.kind, held.label, held.held, held.end_on_exit) == ("participant-hold", "customer-1", True, False)
    assert ParticipantSeen(call_sid=line.caller.sid, label="customer-1", start_on_enter=False, held=True) in inside

    await line.calls.perform(replace(update, hold=False, end_on_exit=True))
    await line.until(lambda: any(event.end_on_exit and not event.held for event in line.of(ParticipantChanged)))
    inside = (await line.read()).participants

    assert (
        ParticipantSeen(call_sid=line.caller.sid, label="customer-1", start_on_enter=False, end_on_exit=True) in inside
    )


async def test_party_at_the_gate_hears_the_brief_presses_1_and_joins(line: SandboxCallLine) -> None:
    line.conference, line.gate_asks = await customer_waits(line), True
    line.sandbox.phone("client:alice").script(answer_after_s=1, keys="1")

    dialed = await line.calls.perform(CALL)
    await line.until(lambda: len(line.of(ParticipantJoined)) == 2)

    assert isinstance(dialed, PlacedCall)
    assert line.gates == [(Gate(SESSION, "d2"), ""), (Gate(SESSION, "d2", 2), "1")]
    assert {event.dial for event in line.of(CallProgressed)} == {"d2"}
    joined = line.of(ParticipantJoined)[1]
    assert (joined.call_sid, joined.label, joined.conference_sid) == (dialed.call_sid, "target-2", line.conference)


@pytest.mark.parametrize("key, expected", [("#", "#"), ("7", "7"), ("", "")])
async def test_other_key_or_no_key_is_reported_too(line: SandboxCallLine, key: str, expected: str) -> None:
    line.gate_asks = True
    line.sandbox.phone("client:alice").script(answer_after_s=0, keys=key)

    await line.calls.perform(CALL)
    await line.until(lambda: len(line.gates) == 2)

    assert line.gates[1] == (Gate(SESSION, "d2", 2), expected)


async def test_the_agent_of_a_call_is_connected_to_the_customer(line: SandboxCallLine) -> None:
    line.sandbox.phone("client:alice").script(answer_after_s=0)
    line.sandbox.phone(TARGET).script(answer_after_s=1)

    dialed = await line.calls.perform(replace(CALL, party="agent"))
    await line.until(lambda: [call for call in line.sandbox.calls_of(TARGET) if call.status == "in-progress"])
    assert isinstance(dialed, PlacedCall)
    (customer,) = line.sandbox.calls_of(TARGET)
    read = await line.read(parent_call_sid=dialed.call_sid, with_conference=False)

    assert customer.record.from_ == OWN
    assert [(seen.call_sid, seen.parent_call_sid) for seen in read.calls] == [
        (dialed.call_sid, ""),
        (customer.sid, dialed.call_sid),
    ]
    await line.until(lambda: "in-progress" in [e.status for e in line.of(CallProgressed) if e.party == "customer"])


async def test_a_call_whose_answer_was_lost_is_found_and_only_once(line: SandboxCallLine) -> None:
    line.sandbox.phone("client:alice").script(answer_after_s=None)
    find = FindCall(effect_id="f1", session_id=SESSION, party="target", dial_id="d2", to="client:alice", since_ms=0)

    assert await line.calls.perform(find) == PlacedCall("")
    dialed = await line.calls.perform(CALL)
    assert isinstance(dialed, PlacedCall)
    assert await line.calls.perform(find) == PlacedCall(dialed.call_sid)
    assert await line.calls.perform(replace(find, since_ms=4_000_000_000_000)) == PlacedCall("")

    await line.calls.perform(replace(CALL, effect_id="d3"))
    assert await line.calls.perform(find) == PlacedCall("")


async def test_party_is_hung_up_after_hearing_a_sentence(line: SandboxCallLine) -> None:
    await customer_waits(line)
    assert line.caller is not None
    say = SayAndHangUp(
        effect_id="e", session_id=SESSION, party="customer", call_sid=line.caller.sid, sentence="transfer-failed"
    )

    assert await line.calls.perform(say) is None
    await line.until(lambda: line.caller is not None and line.caller.status == "completed")

    assert any("could not connect you" in str(interval) for interval in line.caller.sounds_heard)
    assert await line.calls.perform(say) is None  # over already
