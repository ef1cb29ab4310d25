"""Stories of more than two: someone is added, held, muted, hears an announcement, or is listened in on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conferral.storage import command_stream
from conferral.storage.command_stream import CommandResult
from offhook import CallHandle, PhoneScript
from offhook.request_log import RestEntry
from tests.flows.conference_starts import in_conference
from tests.flows.flow_helpers import talking
from tests.support.local_system import LocalSystem
from tests.support.people import SECOND
from tests.support.phones import answers


@dataclass
class GroupCall:
    """Those who talk, by their parties' names, and what is asked about them again and again."""

    system: LocalSystem
    #: The session's id.
    id: str
    people: dict[str, CallHandle]
    #: Ids of commands that were given without waiting, with their kinds.
    given: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> CallHandle:
        return self.people[name]

    # ---- commands ------------------------------------------------------------------------------------------------

    async def done(self, kind: str, **fields: str) -> CommandResult:
        return await self.system.done(kind, self.id, **fields)

    async def failed(self, reason: str, kind: str, **fields: str) -> CommandResult:
        return await self.system.failed(reason, kind, self.id, **fields)

    async def rejected(self, why: str, kind: str, **fields: str) -> CommandResult:
        return await self.system.rejected(why, kind, self.id, **fields)

    async def say(self, kind: str, **fields: str) -> str:
        """Gives a command; its answer is waited for later."""
        given = {"type": kind, "session": self.id, **fields}
        command_id = await command_stream.publish(self.system.client, self.system.keys, given)
        command_id = fields.get("id", command_id)
        self.given[command_id] = kind
        return command_id

    async def outcome(self, command_id: str) -> tuple[str, str]:
        found = await self.system.result_of(command_id)
        return found.status, found.reason

    # ---- someone comes ------------------------------------------------------------------------------------------

    async def add(self, name: str, to: str, *scripts: PhoneScript, **fields: str) -> CallHandle:
        """Adds someone, whose phone does what the scripts say, and waits until it is done."""
        self.system.sandbox.phone(to).script_in_turn(*(scripts or (answers(),)))
        before = len(self.system.sandbox.calls_of(to))
        await self.done("add", to=to, party=name, **fields)
        return await self.comes(name, to, before + 1)

    async def rings(self, name: str, to: str, script: PhoneScript, **fields: str) -> tuple[str, CallHandle]:
        """Asks for someone and waits until the phone was dialed; returns the command's id and the call."""
        self.system.sandbox.phone(to).script_in_turn(script)
        before = len(self.system.sandbox.calls_of(to))
        command_id = await self.say("add", to=to, party=name, **fields)
        return command_id, await self.system.dialed(to, before + 1)

    async def supervise(self, mode: str, to: str = SECOND, *scripts: PhoneScript, **fields: str) -> CallHandle:
        """Lets someone supervise, or do it in another way."""
        self.system.sandbox.phone(to).script_in_turn(*(scripts or (answers(),)))
        await self.done("supervise", to=to, mode=mode, **fields)
        return await self.comes("supervisor", to, len(self.system.sandbox.calls_of(to)))

    async def comes(self, name: str, to: str, time: int) -> CallHandle:
        self.people[name] = await self.system.dialed(to, time)
        self.system.listening.name(**{name: self.people[name]})
        return self.people[name]

    # ---- what is heard -------------------------------------------------------------------------------------------

    async def expect_heard(self, **who: Any) -> None:
        """Waits until each hears that: a word, the name of a party or several: `hear(customer=["agent", "bob"])`."""
        for name, what in who.items():
            others = what if isinstance(what, str) and what not in self.people else self._calls(what)
            await self.system.until_hears(self.people[name], others)

    def _calls(self, names: str | Iterable[str]) -> list[CallHandle]:
        return [self.people[name] for name in ([names] if isinstance(names, str) else names)]

    async def talk(self, *names: str) -> None:
        """Waits until these, or all, hear each other and no one else."""
        everyone = names or tuple(self.people)
        for name in everyone:
            await self.expect_heard(**{name: [other for other in everyone if other != name]})

    def never_heard(self, listener: str, other: str, since_s: float | None = None) -> bool:
        return self.system.listening.never_heard(self.people[listener], self.people[other], since_s)

    def heard(self) -> str:
        """What everyone heard, for messages."""
        return self.system.listening.described(*self.people.values())

    # ---- what Twilio is asked ------------------------------------------------------------------------------------

    def asked(self) -> list[str]:
        """What Twilio was asked to do so far, in words: `hold customer`, `hang up agent`...

        Without `flag`: that safety net, EndConferenceOnExit, is set whenever there is time for it.
        """
        names = {call.sid: name for name, call in self.people.items()}
        words = [_in_words(entry, names) for entry in self.system.sandbox.request_log.requests("POST")]
        return [word for word in words if not word.startswith("flag")]

    # ---- what is shown -------------------------------------------------------------------------------------------

    async def session(self) -> dict[str, str]:
        return await self.system.session(self.id)

    async def wait_until(self, **fields: str) -> dict[str, str]:
        return await self.system.until(self.id, **fields)

    async def party(self, name: str, **fields: str) -> dict[str, str]:
        """Waits until the session says so of a party."""
        return await self.wait_until(**{f"party.{name}.{field}": value for field, value in fields.items()})

    async def shown(self, what: str) -> dict[str, str]:
        """One field of every party, by its name."""
        session = await self.session()
        shown = {tuple(name.split(".")): value for name, value in session.items() if name.startswith("party.")}
        return {name[1]: value for name, value in shown.items() if name[2] == what}

    async def member(self, name: str) -> Any:
        """A participant as Twilio has it."""
        conference = await self.system.sandbox_conference()
        return conference.participants[self.people[name].sid]

    # ---- the end -------------------------------------------------------------------------------------------------

    async def leaves(self, name: str, party: str = "") -> None:
        """Someone hangs up, and the session knows; their `party` may have another name by now."""
        self.people.pop(name).hang_up()
        await self.party(party or name, status="left")

    async def ends(self, reason: str, *, debugger: frozenset[int] = frozenset()) -> None:
        """It is over for that reason, nothing is left of it, and one outcome was published."""
        await self.system.everyone_is_gone(self.id, reason, debugger=debugger)
        for command_id in self.given:
            assert (await self.system.result_of(command_id)).is_final
        published = [entry for entry in await self.system.outcomes() if entry["kind"] == "session"]
        assert [(entry["session"], entry["reason"]) for entry in published] == [(self.id, reason)]

    async def ended_by_hang_up(self, name: str, reason: str) -> None:
        """Someone hangs up, and with that it is over."""
        self[name].hang_up()
        await self.ends(reason)

    async def let_go(self, *, debugger: frozenset[int] = frozenset()) -> None:
        await self.done("end")
        await self.ends("command", debugger=debugger)


def _in_words(request: RestEntry, names: Mapping[str, str]) -> str:
    """A request in the words that the state machine's tests have for its effect (`words` in `call_legs.py`)."""
    sid = request.path.rpartition("/")[2].removesuffix(".json")
    who = names.get(sid, sid)
    if to := request.get("To"):
        return f"dial {to}"
    for name, is_set, is_cleared in (
        ("EndConferenceOnExit", "flag", "unflag"), ("Hold", "hold", "unhold"), ("Muted", "mute", "unmute"),
    ):  # fmt: skip
        if value := request.get(name):
            return f"{is_set if value == 'true' else is_cleared} {who}"
    if request.get("Status") == "completed":
        return "end room" if "/Conferences/" in request.path else f"hang up {who}"
    return f"move {who}" if request.get("Twiml") else f"{request.path} {dict(request.params)}"


async def two(system: LocalSystem, start: str = "conferenced") -> GroupCall:
    """Customer and agent talk, by one of `STARTS`."""
    if start == "client":
        opening, leg = await in_conference(system, "client")
        return GroupCall(system, opening.id, {"customer": leg, "agent": opening.waiter})
    direction = "outbound" if start == "outbound" else "inbound"
    talk = await talking(system, direction, conferenced=start == "conferenced")
    crowd = GroupCall(system, talk.session, {"customer": talk.customer, "agent": talk.agent})
    if start == "conferenced":
        # The second net is set a moment after the two are in.
        await crowd.wait_until(**{f"party.{name}.end_on_exit": "true" for name in ("customer", "agent")})
    return crowd
