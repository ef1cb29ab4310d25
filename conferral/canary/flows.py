"""The canary's flows: calls through Conferral, of which the log tells."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from conferral.canary.calls import FlowError, OwnCalls, until, within
from conferral.canary.findings import FAIL, OK, FlowResult
from conferral.canary.observation import first_of, observe, position
from conferral.canary.probes import Probes
from conferral.canary.recordings import probe_recording
from conferral.client.client import Client
from conferral.operations.errors import CommandError
from conferral.operations.session_search import all_sessions
from conferral.runtime.settings import ServiceSettings
from conferral.statemachine.session import AGENT, CUSTOMER
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.session_codec import StoredSession
from conferral.storage.queries.session_reader import SessionReader, last_id_before
from conferral.telephony.twilio_requests import send

FLOWS = ("bridge", "convert", "hold", "consult", "blind", "cleanup")
#: How long anything may take that Twilio does at once, seconds: REST dials wait in its queue.
TIMEOUT_S = 20.0
#: How long callbacks may follow what they report, seconds; after that, a request counts as never made.
LATE_S = 3.0
#: What a moved caller hears: nothing of ours.
_ELSEWHERE = '<Response><Pause length="1"/><Hangup/></Response>'
_FIRST_OR_LAST: dict[bool | None, str] = {True: "first", False: "last"}
#: The spans that are one: ringing and music are none.
_SILENCES = ("agent hears silence", "caller hears silence")


@dataclass(slots=True)
class Flows:
    """Runs flows; each gets a result."""

    settings: ServiceSettings
    calls: OwnCalls
    client: Client
    reader: SessionReader
    result: FlowResult = field(default_factory=lambda: FlowResult(""))
    _known: set[str] = field(default_factory=set)
    #: The caller's own side of the current call, and its session until its log was observed.
    _caller_sid: str = ""
    _session_id: str = ""

    async def run(self, flow: str) -> FlowResult:
        """Run a flow; StoreError and ProviderError end all."""
        self.result, self._session_id = FlowResult(flow), ""
        steps: Callable[[], Awaitable[None]] = getattr(self, flow)
        try:
            await steps()
            self.result.calls, self.result.call_s = await self.calls.count_seconds()
        except (FlowError, CommandError) as error:
            self.result.add("flow", FAIL, str(error))
            await self.calls.hang_up_all()
            if self._session_id:
                observe(self.result, await self._seen(self._session_id, "customer completed"))
            return self.result
        limit_ms = self.settings.convert_timeout_s * 1000
        for span in self.result.spans:
            if span.who in _SILENCES and span.ms > limit_ms:
                self.result.add("silence", FAIL, f"{span.who} for {span.ms} ms, more than CONFERRAL_CONVERT_TIMEOUT")
        self.result.add("flow", OK, "as documented")
        return self.result

    async def bridge(self) -> None:
        """Connect a call, and hang up: talking, ringing, and by a move."""
        session = await self._talk()
        client, agent_sid = self.calls.client, session.parties[AGENT].call_sid
        await probe_recording(self.result, client, self.settings.api_url, session.id, agent_sid)
        await self.calls.hang_up(self._caller_sid)
        log = await self._over(session.id, "customer completed", "dial_ended bridge", reason="customer-left")
        self.result.observe("action_after_hang_up", position(log, "dial_ended bridge") is not None)
        await self._hang_up_while_ringing()
        await self._move_away()

    async def _hang_up_while_ringing(self) -> None:
        session = await self._call()
        await self._session(session.id, lambda one: AGENT in one.parties and one.parties[AGENT].status == "ringing")
        await self.calls.hang_up(self._caller_sid)
        log = await self._over(session.id, "agent canceled", "agent no-answer", reason="")
        endings = ("canceled", "no-answer")
        seen = next((one for one in endings if position(log, f"agent {one}") is not None), None)
        self.result.observe("abandoned_child", seen)

    async def _move_away(self) -> None:
        """Move the caller as another program would."""
        session = await self._talk()
        await send(self.calls.client.calls(session.id).update_async(twiml=_ELSEWHERE))
        log = await self._over(session.id, "dial_ended bridge", reason="")
        await self.calls.hang_up(self._caller_sid)
        self.result.observe("old_action_on_redirect", position(log, "dial_ended bridge") is not None)

    async def convert(self) -> None:
        """Move a bridged call into a conference."""
        session = await self._talk()
        await self.client.convert(session.id, by="canary")
        await self._end(session.id, "conference_started")

    async def hold(self) -> None:
        """Put the caller on hold, and take them off."""
        session = await self._talk()
        await self.client.hold(session.id, party=CUSTOMER, by="canary")
        await self._seen(session.id, "customer participant-hold")
        await self.client.unhold(session.id, party=CUSTOMER, by="canary")
        await self._end(session.id, "customer participant-unhold")

    async def consult(self) -> None:
        """Transfer with a consult."""
        session = await self._talk()
        await self._transfer(session.id, "consult")
        await self.client.complete(session.id, by="canary")
        log = await self._end(session.id, "customer participant-unhold", "agent-1 participant_left")
        seen = first_of(log, ["target participant_joined"], ["target in-progress"])
        self.result.observe("early_media_counts_as_join", seen)
        words = {"participant_hung_up": "hung-up", "participant_updated_via_api": "updated"}
        left = next((one for one in log if one.event == "participant_left"), None)
        reason = words.get(str(left.details.get("left_reason"))) if left else None
        self.result.observe("completed_participant", reason)

    async def blind(self) -> None:
        """Transfer out of a bridge, without a consult; then the caller hangs up."""
        session = await self._talk()
        await self._transfer(session.id, "blind")
        await self._seen(session.id, "customer participant-modify", "agent participant-modify")
        await self.calls.hang_up(self._caller_sid)
        log = await self._over(
            session.id, "agent participant_left", "customer participant_left", reason="customer-left"
        )
        is_first = first_of(log, ["customer participant_left"], ["agent participant_left"])
        self.result.observe("ending_leave", _FIRST_OR_LAST.get(is_first))

    async def cleanup(self) -> None:
        """Leave the caller alone; then probe conferences of the canary's own."""
        session = await self._talk()
        await self.client.convert(session.id, by="canary")
        await self.calls.hang_up(session.parties[AGENT].call_sid)
        log = await self._over(session.id, "agent completed", "customer participant_left", reason="agent-left")
        is_first = first_of(log, ["agent completed"], ["agent participant_left"])
        self.result.observe("final_callback", _FIRST_OR_LAST.get(is_first))
        await self.calls.hang_up(self._caller_sid)
        await Probes(self.settings, self.calls, self.reader, self.result).run()

    # ---- steps ------------------------------------------------------------------------------------------------------

    async def _call(self) -> StoredSession:
        """Place a call, and return its session."""
        self._caller_sid = await self.calls.place(self.calls.numbers.called)
        session = await until(self._new_session, "the webhooks got the call, and a worker decided it", TIMEOUT_S)
        self._session_id = session.id
        return session

    async def _new_session(self) -> StoredSession | None:
        numbers = self.calls.numbers
        for session in await all_sessions(self.reader, None, with_ended=False, party=numbers.caller):
            if session.id in self._known or AGENT not in session.parties:
                continue
            self._known.add(session.id)
            if session.parties[AGENT].address != numbers.answering:
                raise FlowError("the call rang someone other than --answer: restart webhooks and workers")
            return session
        return None

    async def _talk(self) -> StoredSession:
        """Place a call, and wait until it is connected."""
        session = await self._call()
        return await self._session(session.id, lambda one: one.phase == "connected")

    async def _session(self, session_id: str, is_so: Callable[[StoredSession], bool]) -> StoredSession:
        async def read() -> StoredSession | None:
            session = await self.reader.read_session(session_id)
            if session.is_ended:
                raise FlowError(f"the session ended too early: {session.end_reason}")
            return session if is_so(session) else None

        return await until(read, "the agent's phone rings, and is answered", TIMEOUT_S)

    async def _transfer(self, session_id: str, mode: str) -> None:
        target, options = self.calls.numbers.answering, {"fallback": "end"} if mode == "blind" else {}
        await self.client.transfer(session_id, to=target, mode=mode, by="canary", **options)

    async def _seen(self, session_id: str, *callbacks: str) -> list[LogEntry]:
        """Wait for each of these callbacks, for a while; return the log."""

        async def read() -> list[LogEntry] | None:
            log = await self.reader.log(session_id)
            found.append(log)
            return log if all(position(log, one) is not None for one in callbacks) else None

        found: list[list[LogEntry]] = []
        await within(read, LATE_S)
        return found[-1]

    async def _end(self, session_id: str, *callbacks: str) -> list[LogEntry]:
        await self._seen(session_id, *callbacks)
        await self.client.end(session_id, by="canary")
        return await self._over(session_id, "customer completed", reason="command")

    async def _over(self, session_id: str, *callbacks: str, reason: str) -> list[LogEntry]:
        """Wait for the end of a session, and for its callbacks; observe its log."""
        read = partial(self.reader.read_session, session_id)

        async def ended() -> StoredSession | None:
            session = await read()
            return session if session.is_ended else None

        session = await until(ended, "the session has ended", TIMEOUT_S)
        log = await self._seen(session_id, *callbacks)
        observe(self.result, log)
        self._session_id = ""
        outcomes, _ = await self.reader.outcome_page(
            after=last_id_before(log[0].at_ms), limit=1, kind="session", session=session_id
        )
        self.result.participant_s += sum(float(one.get("participant_s") or 0) for one in outcomes)
        if reason and session.end_reason != reason:
            raise FlowError(f"the session ended with {session.end_reason}, not {reason}")
        return log
