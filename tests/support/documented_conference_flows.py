"""Those of the flows that are about conferences: waiting, calls that begin as one, parties, parking, supervisors,
recordings.
"""

from __future__ import annotations

from tests.support.documented_flow import ALL, BOTH, NEW, THREE, TWO, Drawn, Flow
from tests.support.local_system import AGENT, CUSTOMER
from tests.support.people import BOB, CAROL, DAVE

SENTENCE = "This call ends in two minutes."


async def waiting(flow: Flow) -> None:
    await flow.customer_waits([AGENT], Customer="music")
    await flow.answers(AGENT, **BOTH)


async def waiting_next_agent(flow: Flow) -> None:
    await flow.customer_waits([AGENT], Customer="music")
    await flow.refuses(AGENT, [CAROL], Customer="music")
    await flow.answers(CAROL, **{"Customer": "Next agent", "Next agent": "Customer"})


async def client(flow: Flow) -> None:
    await flow.browser_calls(CUSTOMER, Agent="ringback")
    await flow.answers(CUSTOMER, **BOTH)
    await flow.hangs_up_and_ends(AGENT)


async def call_conference(flow: Flow) -> None:
    flow.recorder.session_id = "outbound-call"
    await flow.command("call", {}, [AGENT], agent=AGENT, customer=CUSTOMER, mode="conference")
    await flow.answers(AGENT, [CUSTOMER], Agent="ringback")
    await flow.answers(CUSTOMER, **BOTH)


async def parties(flow: Flow) -> None:
    await flow.talking()
    await flow.command("add", BOTH, [BOB], to=BOB, party="expert")
    await flow.answers(BOB, Customer="Agent and Expert", Agent="Customer and Expert", Expert="Agent and Customer")
    await flow.command("add", {}, [CAROL], to=CAROL, party="lead")
    await flow.answers(CAROL, Lead="Agent and Customer and Expert", Customer="Agent and Expert and Lead")
    await flow.command("remove", {"Customer": "Agent and Expert"}, party="lead")
    await flow.hangs_up(AGENT, Customer="Expert", Expert="Customer")
    await flow.hangs_up_and_ends(BOB)


async def hold_mute(flow: Flow) -> None:
    await flow.talking_in_conference()
    await flow.command("hold", {"Customer": "music", "Agent": "nothing"}, party="customer")
    await flow.command("unhold", BOTH, party="customer")
    await flow.command("mute", {"Customer": "Agent", "Agent": "nothing"}, party="customer")
    await flow.command("unmute", BOTH, party="customer")


async def _parked(flow: Flow) -> None:
    await flow.command("park", {"Customer": "music"})
    await flow.command("retrieve", {"Customer": "music"}, [BOB], to=BOB)
    await flow.answers(BOB, **NEW)


async def park_bridged(flow: Flow) -> None:
    await flow.talking()
    await _parked(flow)


async def park_conferenced(flow: Flow) -> None:
    await flow.talking_in_conference()
    await _parked(flow)


async def park_timeout(flow: Flow) -> None:
    await flow.talking()
    await flow.command("park", {"Customer": "music"})
    await flow.recorder.skip("The agent has left, and the parked customer hears music")
    await flow.time_passes("CONFERRAL_PARK_TIMEOUT expires", [AGENT], Customer="music")
    await flow.answers(AGENT, **BOTH)


async def announce(flow: Flow) -> None:
    await flow.talking_in_conference()
    await flow.command("announce", BOTH, say=SENTENCE)


async def press(flow: Flow) -> None:
    await flow.talking()
    await flow.command("add", BOTH, [BOB], to=BOB, party="bank")
    together = {"Customer": "Agent and Bank", "Agent": "Bank and Customer", "Bank": "Agent and Customer"}
    await flow.answers(BOB, **together)
    await flow.command("press", together, party="bank", digits="1ww4711")


async def supervise(flow: Flow) -> None:
    await flow.talking_in_conference()
    await flow.command("supervise", BOTH, [DAVE], to=DAVE, mode="monitor")
    await flow.answers(DAVE, Supervisor="Agent and Customer", **BOTH)
    helped = {"Customer": "Agent", "Agent": "Customer and Supervisor"}
    await flow.command("supervise", helped, to=DAVE, mode="whisper")
    await flow.command("supervise", {"Customer": "Agent and Supervisor"}, to=DAVE, mode="barge")


async def record(flow: Flow) -> None:
    await flow.talking_in_conference()
    for action in ("start", "pause", "resume", "stop"):
        await flow.command("record", BOTH, action=action)


async def record_consult(flow: Flow) -> None:
    await flow.talking()
    await flow.command("convert", BOTH)
    await flow.command("transfer", {"Customer": "music"}, [BOB], to=BOB, mode="consult")
    await flow.answers(BOB, Customer="music", Agent="Target", Target="Agent")
    await flow.command("merge", ALL)


async def after(flow: Flow) -> None:
    await flow.talking_in_conference()
    await flow.hangs_up_and_ends(AGENT)


CONFERENCE_FLOWS: dict[str, Drawn] = {
    "waiting": Drawn(waiting, TWO),
    "waiting-next-agent": Drawn(
        waiting_next_agent, {**TWO, CAROL: "Next agent"}, directory=f'agents = ["{AGENT}", "{CAROL}"]'
    ),
    # A party left alone is disconnected after a moment; in the others none is.
    "client": Drawn(client, TWO, policy={"lone_grace_ms": 500}),
    "call-conference": Drawn(call_conference, TWO),
    "parties": Drawn(parties, {**TWO, BOB: "Expert", CAROL: "Lead"}, policy={"lone_grace_ms": 500}),
    "hold-mute": Drawn(hold_mute, TWO),
    "park-bridged": Drawn(park_bridged, THREE),
    "park-conferenced": Drawn(park_conferenced, THREE),
    "park-timeout": Drawn(park_timeout, TWO, speed=5, policy={"park_timeout_ms": 500}),
    "announce": Drawn(announce, TWO, speed=5),
    "press": Drawn(press, {**TWO, BOB: "Bank"}, speed=5),
    "supervise": Drawn(supervise, {**TWO, DAVE: "Supervisor"}),
    "record": Drawn(record, TWO),
    "record-consult": Drawn(record_consult, THREE, directory="record = true"),
    "after": Drawn(after, TWO, speed=5, policy={"lone_grace_ms": 500}, directory='after = "{survey}"'),
}
