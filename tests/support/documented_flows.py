"""The flows that `docs/flows/` draws, each played through the whole system."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.dials import assert_one_dial_an_intent
from tests.support.documented_conference_flows import CONFERENCE_FLOWS
from tests.support.documented_fallback_flows import FALLBACK_FLOWS
from tests.support.documented_flow import ALL, BOTH, ENDLESS, NEW, PATIENT, TWO, Drawn, Flow
from tests.support.foreign_app import ForeignApp
from tests.support.local_system import AGENT, NUMBER, LocalSystem
from tests.support.people import BOB, CAROL, TARGET
from tests.support.phones import rings
from tests.support.sequence_diagram import SequenceRecorder

#: What another application asks.
SURVEY = "<Say>What did you think of us? Please say it after the tone.</Say><Hangup/>"


async def inbound_convert(flow: Flow) -> None:
    await flow.customer_calls()
    await flow.answers(AGENT, **BOTH)
    await flow.command("convert", BOTH)


async def outbound(flow: Flow) -> None:
    await flow.calls_out()
    await flow.command("convert", BOTH)


async def warm(flow: Flow) -> None:
    await flow.talking()
    await flow.command("transfer", {}, [BOB], to=BOB, mode="warm")
    await flow.answers(BOB, **ALL)
    await flow.command("complete", NEW)


async def consult(flow: Flow) -> None:
    await flow.talking_in_conference()
    await flow.command("transfer", {"Customer": "music"}, [BOB], to=BOB, mode="consult")
    await flow.answers(BOB, Customer="music", Agent="Target", Target="Agent")
    await flow.command("swap", BOTH | {"Target": "music"})
    await flow.command("merge", ALL)
    await flow.command("complete", NEW)


async def _blind(flow: Flow) -> None:
    await flow.command("transfer", {"Customer": "ringback"}, [BOB], to=BOB, mode="blind")
    await flow.answers(BOB, **NEW)


async def blind_inbound(flow: Flow) -> None:
    await flow.talking()
    await _blind(flow)


async def blind_outbound(flow: Flow) -> None:
    await flow.talking_outbound()
    await _blind(flow)


async def blind_in_conference(flow: Flow) -> None:
    await flow.talking_in_conference()
    await _blind(flow)


async def recall(flow: Flow) -> None:
    await flow.talking()
    await flow.command("transfer", {"Customer": "ringback"}, [BOB], to=BOB, mode="blind")
    await flow.refuses(BOB, [AGENT])
    await flow.answers(AGENT, **BOTH)


async def fallback_end(flow: Flow) -> None:
    await flow.talking()
    await flow.command("transfer", {"Customer": "ringback"}, [BOB], to=BOB, mode="blind")
    await flow.refuses_and_ends(BOB)


async def several(flow: Flow) -> None:
    await flow.talking_in_conference()
    both = [BOB, CAROL]
    await flow.command("transfer", {}, both, to=",".join(both), mode="warm", confirm="true")
    await flow.answers(BOB, **{"Target 1": "a question"})
    await flow.answers(CAROL, **{"Target 2": "a question"})
    await flow.presses_one(CAROL, **{"Customer": "Agent and Target 2", "Target 2": "Agent and Customer"})


async def customer_id(flow: Flow) -> None:
    await flow.talking_in_conference()
    await flow.command("transfer", {}, [TARGET], to=TARGET, mode="warm")
    await flow.answers(TARGET, **ALL)


async def cancel(flow: Flow) -> None:
    await flow.talking_in_conference()
    await flow.command("transfer", {"Customer": "music"}, [BOB], to=BOB, mode="consult")
    await flow.answers(BOB, Customer="music", Agent="Target", Target="Agent")
    await flow.command("cancel", BOTH)


async def complete_while_ringing(flow: Flow) -> None:
    await flow.talking_in_conference()
    await flow.command("transfer", {}, [BOB], to=BOB, mode="warm")
    await flow.command("complete", {"Customer": "ringback"}, [BOB])
    await flow.answers(BOB, **NEW)


FLOWS: dict[str, Drawn] = {
    "inbound-convert": Drawn(inbound_convert, TWO),
    "outbound": Drawn(outbound, TWO),
    "warm": Drawn(warm),
    "consult": Drawn(consult),
    "blind-inbound": Drawn(blind_inbound),
    "blind-outbound": Drawn(blind_outbound),
    "blind-conferenced": Drawn(blind_in_conference),
    "recall": Drawn(recall, speed=5),
    "fallback-end": Drawn(fallback_end, speed=5, settings={"CONFERRAL_TRANSFER_FALLBACK": "end"}),
    # The question lasts until the key is pressed, however busy the machine is.
    "several": Drawn(
        several, {**TWO, BOB: "Target 1", CAROL: "Target 2"}, behavior=replace(ENDLESS, say_s_per_character=2.0)
    ),
    "caller-id": Drawn(customer_id, {**TWO, TARGET: "Target"}, settings={"CONFERRAL_TRANSFER_CALLER_ID": "customer"}),
    "caller-id-refused": Drawn(
        customer_id,
        {**TWO, TARGET: "Target"},
        behavior=replace(ENDLESS, verify_callers=True, accept_call_tokens=False),
        settings={"CONFERRAL_TRANSFER_CALLER_ID": "customer"},
    ),
    "cancel": Drawn(cancel),
    "complete-while-ringing": Drawn(complete_while_ringing),
    **FALLBACK_FLOWS,
    **CONFERENCE_FLOWS,
}


async def draw(redis_url: str, name: str) -> str:
    """Plays a flow and draws it; in the end everyone is gone, and each intent was dialed once."""
    drawn = FLOWS[name]
    # Nothing is swept while a flow is drawn: it would ask Twilio something at a moment that no one chose.
    options: dict[str, Any] = {"CONFERRAL_SWEEP_INTERVAL": 3_600, **drawn.settings}
    async with AsyncExitStack() as stack:
        if drawn.directory:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            options["CONFERRAL_DIRECTORY"] = folder / "directory.toml"
            survey = await stack.enter_async_context(ForeignApp(survey=SURVEY))
            entry = drawn.directory.format(survey=f"{survey.url}/survey")
            options["CONFERRAL_DIRECTORY"].write_text(f'[inbound."{NUMBER}"]\n{entry}\n')
        policy = {**PATIENT, **drawn.policy}
        system = await stack.enter_async_context(
            LocalSystem(redis_url, speed=drawn.speed, behavior=drawn.behavior, policy=policy, **options)
        )
        for address in drawn.people:
            system.sandbox.phone(address).script_in_turn(rings())
        recorder = SequenceRecorder(system, dict(drawn.people))
        await drawn.play(Flow(system, recorder))
        text = recorder.diagram()
        if (await system.session(recorder.session_id))["state"] != "ended":
            await system.command("end", recorder.session_id)
        await system.settled()
        assert_one_dial_an_intent(system.sandbox)
    return text
