"""Those of the flows in which no agent has the call yet, or no one takes it: hand-off, fallbacks, voicemail."""

from __future__ import annotations

from dataclasses import replace

from tests.support.documented_flow import BOTH, ENDLESS, THREE, TWO, Drawn, Flow
from tests.support.local_system import AGENT
from tests.support.people import AGENT_PHONE, BOB, CAROL

BRIEF = "Caller wants to change an order."
FOUR = {**THREE, CAROL: "Fallback"}


async def handoff(flow: Flow) -> None:
    await flow.bot_hands_over([AGENT], {"to": AGENT, "brief": BRIEF}, Customer="music")
    await flow.answers(AGENT, **BOTH)


async def bridge_confirm(flow: Flow) -> None:
    await flow.customer_calls(AGENT_PHONE)
    await flow.answers(AGENT_PHONE, Customer="a phone ringing", Agent="a question")
    await flow.presses_one(AGENT_PHONE, **BOTH)


async def inbound_fallback(flow: Flow) -> None:
    await flow.customer_calls()
    await flow.refuses(AGENT, [CAROL], Customer="music")
    await flow.answers(CAROL, Customer="Fallback", Fallback="Customer")


async def fallback_chain(flow: Flow) -> None:
    await flow.talking()
    await flow.command("transfer", {"Customer": "ringback"}, [BOB], to=BOB, mode="blind")
    await flow.refuses(BOB, [CAROL])
    await flow.refuses(CAROL, [AGENT])
    await flow.answers(AGENT, **BOTH)


async def voicemail(flow: Flow) -> None:
    await flow.customer_calls()
    await flow.comes_to_the_tone(AGENT)
    await flow.leaves_message()


VOICEMAIL = {"CONFERRAL_INBOUND_FALLBACK": "voicemail"}
FALLBACK_FLOWS: dict[str, Drawn] = {
    "handoff": Drawn(handoff, TWO, speed=5),
    # The question lasts until the key is pressed, however busy the machine is.
    "bridge-confirm": Drawn(
        bridge_confirm,
        {**{address: name for address, name in TWO.items() if address != AGENT}, AGENT_PHONE: "Agent"},
        behavior=replace(ENDLESS, say_s_per_character=2.0),
        directory=f'agents = ["{AGENT_PHONE}"]\nconfirm = true',
    ),
    "inbound-fallback": Drawn(
        inbound_fallback, {**TWO, CAROL: "Fallback"}, settings={"CONFERRAL_INBOUND_FALLBACK": CAROL}
    ),
    "fallback-chain": Drawn(fallback_chain, FOUR, speed=5, settings={"CONFERRAL_TRANSFER_FALLBACK": f"{CAROL},recall"}),
    "voicemail": Drawn(voicemail, TWO, speed=5, settings=VOICEMAIL),
}
