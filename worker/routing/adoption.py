"""What `adopt` needs to know of two calls in another program's conference.

Source: Twilio docs, Call, Conference, and Participants resources.
"""

import asyncio
from dataclasses import replace
from functools import partial

from twilio.rest import Client

from conferral.commands.parser import BadCommandError
from conferral.runtime.errors import ProviderError
from conferral.runtime.lifecycle import gather
from conferral.statemachine.events import Adopt
from conferral.statemachine.events.effect_results import ParticipantSeen
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND, OUTBOUND
from conferral.statemachine.states import FINAL_CALL_STATUSES, CallStatus
from conferral.storage.agents import Agents
from conferral.storage.connection.client import run_or_raise
from conferral.telephony.addresses import without_params
from conferral.telephony.conference_lists import STARTED, live_conferences
from conferral.telephony.parameters import is_label
from conferral.telephony.request_context import label_requests
from conferral.telephony.twilio_queries import participants_in
from conferral.telephony.twilio_requests import if_found, list_page, read_with_retry, text_of
from conferral.worker.core import WorkerCore

#: Timeout of all reads, seconds; later commands wait for them, because one may name the new session.
DEADLINE_S = 2.0
#: From routing to the session's first commit, at most, seconds.
COMMIT_S = 10.0
#: Newest conferences in progress that are searched (count), and how many at a time.
SEARCHED_MAX = 200
SEARCHED_AT_ONCE = 20
_HAND_OFF = "it is bridged to another call, which a move would end; redirect it to /voice/handoff instead"


class HeldMemberError(Exception):
    """A member is on hold, so the two don't talk; the message names it."""


class AdoptionReader:
    """Reads the calls and the conference of an `adopt`."""

    def __init__(self, client: Client, account_sid: str, core: WorkerCore) -> None:
        self._client = client
        self._account_sid = account_sid
        self._store = core.client
        self._agents = Agents(core.client, core.keys)
        self._keys = core.keys
        self._call_index = core.call_index

    async def complete(self, event: Adopt) -> Adopt:
        """Return the command with the conference and the addresses.

        Raise BadCommandError if the calls can't be adopted, HeldMemberError if one of them is on hold.
        """
        if event.customer == event.agent:
            raise BadCommandError("customer and agent: must be two calls")
        newest = [
            await self._newest_session(field, event.session_id, call_sid)
            for field, call_sid in ((CUSTOMER, event.customer), (AGENT, event.agent))
        ]
        try:
            async with asyncio.timeout(DEADLINE_S):
                with label_requests("adopt"):
                    completed = await self.read(event)
        except (ProviderError, TimeoutError):
            reason = "Twilio did not say in time where the calls are; try again, or name the conference"
            raise BadCommandError(reason) from None
        kind, _, identity = completed.agent_address.partition(":")
        if kind == "client":
            completed = replace(completed, desk=await self._agents.has_desk(identity))
        # Another process may have routed a command for the same calls meanwhile.
        for field, call_sid, before in zip((CUSTOMER, AGENT), (event.customer, event.agent), newest, strict=True):
            claim = self._call_index.claim_visit(call_sid, before, event.session_id)
            (claimed,) = await run_or_raise(self._store, claim)
            _refuse_other(field, event.session_id, claimed.decode())
        return completed

    async def _newest_session(self, field: str, own_id: str, call_sid: str) -> str:
        """Return a call's last session, which is over; empty for none.

        Raise BadCommandError for another that is live, or that was routed and is not decided yet.
        """
        key = self._keys.call(call_sid)
        found, left_s = await run_or_raise(self._store, ("GET", key), ("TTL", key))
        if found is None:
            return ""
        session_id = str(found.decode())
        live, session = self._keys.live(self._keys.partition_of(session_id)), self._keys.session(session_id)
        is_live, exists = await run_or_raise(self._store, ("SISMEMBER", live, session_id), ("EXISTS", session))
        is_new = not exists and left_s > self._call_index.ttl_s - COMMIT_S
        if is_live or is_new:
            _refuse_other(field, own_id, session_id)
        return session_id

    async def read(self, event: Adopt) -> Adopt:
        """Return the command with what Twilio shows of its calls."""
        customer, agent, moved = await gather(
            self._call(CUSTOMER, event.customer), self._call(AGENT, event.agent), self._moved(event)
        )
        conference, ending = ("", ()) if moved else await self._their_conference(event.conference, customer, agent)
        is_inbound = customer["direction"] == INBOUND
        return replace(
            event,
            conference=conference,
            customer_address=customer["from" if is_inbound else "to"],
            agent_address=agent["from" if agent["direction"] == INBOUND else "to"],
            number=customer["to" if is_inbound else "from"],
            direction=INBOUND if is_inbound else OUTBOUND,
            ending=ending,
        )

    async def _moved(self, event: Adopt) -> bool:
        """Whether one of them is in our conference already.

        A rollback of Redis then lost the session, and left the command.
        """
        named = await live_conferences(self._client, event.conference_name or event.session_id)
        inside = await gather(*(self._members(text_of(one.sid)) for one in named))
        ours = {sid for members in inside for sid, seen in members.items() if is_label(seen.label)}
        return not ours.isdisjoint((event.customer, event.agent))

    async def _their_conference(
        self, named: str, customer: dict[str, str], agent: dict[str, str]
    ) -> tuple[str, tuple[str, ...]]:
        """Return the conference in which they talk, and who ends it by leaving."""
        conference, members = await self._conference(named, customer, agent)
        for field, call in ((CUSTOMER, customer), (AGENT, agent)):
            member = members.get(call["sid"])
            if member is None or member.is_ringing:
                await self._refuse_bridged(field, call)
                raise BadCommandError(f"{field}: the call is not in the conference")
            if member.held:
                raise HeldMemberError(f"{field}: the call is on hold in its conference")
        calls = ((CUSTOMER, customer), (AGENT, agent))
        return conference, tuple(field for field, call in calls if members[call["sid"]].end_on_exit)

    async def _call(self, field: str, call_sid: str) -> dict[str, str]:
        """Return a call's SIDs, direction, and addresses, if it is in progress."""
        call = await if_found(read_with_retry(self._client.calls(call_sid).fetch_async))
        if call is None or text_of(call.account_sid) != self._account_sid:
            raise BadCommandError(f"{field}: no call in this account has this SID")
        if call.status != CallStatus.IN_PROGRESS:
            raise BadCommandError(f"{field}: the call is not in progress")
        return {
            "sid": call_sid,
            "parent": text_of(call.parent_call_sid),
            "direction": text_of(call.direction),
            "from": without_params(text_of(call._from)),  # noqa: SLF001  # the library's public name of `from`
            "to": without_params(text_of(call.to)),
        }

    async def _refuse_bridged(self, field: str, call: dict[str, str]) -> None:
        """Refuse a call outside that a `<Dial>` connects to another."""
        page = partial(self._client.calls.page_async, parent_call_sid=call["sid"], page_size=20)
        if call["parent"] or any(child.status not in FINAL_CALL_STATUSES for child in await list_page(page)):
            raise BadCommandError(f"{field}: {_HAND_OFF}")

    async def _conference(
        self, named: str, customer: dict[str, str], agent: dict[str, str]
    ) -> tuple[str, dict[str, ParticipantSeen]]:
        """Return the named conference, or else the one that they are in."""
        if named:
            return named, await self._members(named)
        page = partial(self._client.conferences.page_async, status=STARTED, page_size=SEARCHED_MAX)
        listed = [text_of(one.sid) for one in await list_page(page)]
        for first in range(0, len(listed), SEARCHED_AT_ONCE):
            some = listed[first : first + SEARCHED_AT_ONCE]
            for sid, members in zip(some, await gather(*map(self._members, some)), strict=True):
                if customer["sid"] in members or agent["sid"] in members:
                    return sid, members
        await self._refuse_bridged(CUSTOMER, customer)
        await self._refuse_bridged(AGENT, agent)
        raise BadCommandError("no conference in progress has the two calls; name it with conference")

    async def _members(self, conference_sid: str) -> dict[str, ParticipantSeen]:
        return {seen.call_sid: seen for seen in await participants_in(self._client, conference_sid)}


def _refuse_other(field: str, own_id: str, session_id: str) -> None:
    """Refuse a call of another session."""
    if session_id != own_id:
        raise BadCommandError(f"{field}: the call belongs to session {session_id}")
