"""Twilio REST API: reads, its time, and verification before a retry."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from twilio.rest import Client
from twilio.rest.api.v2010.account.call import CallInstance
from twilio.rest.api.v2010.account.call.recording import RecordingInstance

from conferral.runtime.clock import RemoteClock
from conferral.runtime.errors import ProviderRefusedError, ProviderUnreachableError, ResultUnknownError
from conferral.runtime.lifecycle import gather
from conferral.statemachine.effects import (
    CreateParticipant,
    Dial,
    FindCall,
    ReadCalls,
    RedirectCall,
    StartRecording,
)
from conferral.statemachine.events import CallSeen, CallsRead, ParticipantSeen
from conferral.statemachine.states import FINAL_CALL_STATUSES, CallStatus
from conferral.telephony import parameters
from conferral.telephony.addresses import address_with_params, without_params
from conferral.telephony.conference_lists import (
    COMPLETED,
    STARTED,
    is_conference_sid,
    is_live_conference,
    list_conferences,
    live_conferences,
)
from conferral.telephony.parameters import is_label, parse_participant
from conferral.telephony.request_context import label_requests
from conferral.telephony.twilio_requests import if_found, list_page, read_with_retry, send, text_of

#: SID of a conference, and its participants.
_Conference = tuple[str, tuple[ParticipantSeen, ...]]

#: Most children of one call that are read: one per agent that rang.
CHILDREN_MAX = 50
#: Calls read concurrently by SID, as many as a read has other parts at the same time.
CONCURRENT_READS_MAX = 2
#: Most calls that one read fetches by SID: at half a second each, they fit into its time.
CALLS_READ_MAX = 21
#: Most calls to one address that a search reads, newest first.
SEARCH_RESULTS_MAX = 50
#: How much older than its dial a call may seem: Twilio's dates are whole seconds, and its servers' clocks may differ.
SEARCH_SLACK = timedelta(seconds=3)
#: Records read when a number is looked up, count: Twilio also matches parts of numbers.
NUMBERS_FOUND_MAX = 20
#: Twilio's limit of participants in a conference. Source: Twilio docs, TwiML `<Conference>`, maxParticipants.
PARTICIPANTS_MAX = 250


@dataclass(frozen=True, slots=True)
class RedirectSeen:
    """What a verification of a redirect read."""

    #: Status of the call in Twilio's words; `completed` if Twilio no longer knows the call.
    call_status: str
    #: Whether the label or the call is in a live conference of the session.
    in_conference: bool


class TwilioQueries:
    """Reads from Twilio. Every method raises only `ProviderError`.

    Source: Twilio docs, Call, Conference, Participants, Recordings, IncomingPhoneNumber, OutgoingCallerIds, and SIP
    Domain resources.
    """

    def __init__(self, client: Client, own_number: str) -> None:
        """Bind Twilio's client, and the caller ID of dials that name none."""
        self._client = client
        self._own_number = own_number

    async def check_redirect(self, effect: RedirectCall) -> RedirectSeen:
        """Verify a redirect by its label and call in the session's conferences.

        A leg redirected to wait does not start its conference. A leg that started it, or that is in the conference that
        the redirect takes it out of, has not been redirected yet.
        """
        with label_requests("verify"):
            call, conferences = await gather(self._read_call(effect.call_sid), self._conferences_after(effect))
        in_conference = any(
            (seen.call_sid == effect.call_sid or seen.label == effect.label)
            and not (effect.wait_audio and seen.start_on_enter)
            and conference_sid != effect.left_conference
            for conference_sid, inside in conferences
            for seen in inside
        )
        return RedirectSeen(call_status=call.status, in_conference=in_conference)

    async def find_dial(self, effect: CreateParticipant) -> str:
        """Return the SID of a dial's call, by its label; empty for none."""
        with label_requests("verify"):
            conferences = await self._conferences_named(effect.conference)
            inside = await gather(*(participants_in(self._client, conference) for conference in conferences))
        return next((seen.call_sid for each in inside for seen in each if seen.label == effect.label), "")

    async def find_possible_calls(self, effect: CreateParticipant, since_ms: int) -> tuple[str, ...]:
        """Return SIDs of calls that a dial may have placed, newest first.

        Ended ones; and live ones if the conference is known by name only: lists may lack one that has not started. The
        dial was sent after a time of Twilio, Unix milliseconds.
        """
        with label_requests("verify"):
            placed = await self.calls_placed_since(effect, since_ms)
        # Twilio's call list has no labels, so another app may have placed them.
        by_name = not is_conference_sid(effect.conference)
        return tuple(call.sid for call in placed if call.sid and (by_name or call.status in FINAL_CALL_STATUSES))

    async def find_recording(self, effect: StartRecording) -> str:
        """Return the SID of the call's running recording; empty for none."""
        with label_requests("verify"):
            return parameters.find_running_recording(await self.recordings_of(effect.call_sid))

    async def recordings_of(self, call_sid: str) -> list[RecordingInstance]:
        """Return a call's recordings, newest first; none if it is unknown."""
        page = partial(self._client.calls(call_sid).recordings.page_async, page_size=parameters.RECORDINGS_MAX)
        return await if_found(list_page(page)) or []

    async def child_status(self, parent_call_sid: str, child_call_sid: str = "") -> str | None:
        """Return the status of a `<Dial>`'s child; None if no call is found.

        Without its SID, that of the newest that Twilio lists: it may lack one.
        """
        with label_requests("child_status"):
            if child_call_sid:
                return (await self._read_call(child_call_sid)).status
            children = await self._children_of(parent_call_sid)
        # Twilio lists the newest first, and `max` keeps the first of equal elements.
        newest = max(children, key=_created_at, default=None)
        return text_of(newest.status) if newest is not None else None

    async def has_started(self, conference_name: str) -> bool:
        """Whether Twilio lists a conference of that name that has started.

        Participants' labels would show whether it is the session's, but its party may not join another app's either.
        """
        # In the order of a conference's life: one that ends meanwhile is in the second list.
        with label_requests("has_started"):
            return any([await list_conferences(self._client, conference_name, one) for one in (STARTED, COMPLETED)])

    async def may_show(self, number: str, sip_domain_sid: str) -> bool:
        """Whether Twilio shows phones this caller ID, from a SIP caller's address.

        That is so if it is in the account or verified, or if the call came in over a BYOC trunk.
        """
        page_size = NUMBERS_FOUND_MAX
        owned = partial(self._client.incoming_phone_numbers.page_async, phone_number=number, page_size=page_size)
        verified = partial(self._client.outgoing_caller_ids.page_async, phone_number=number, page_size=page_size)
        with label_requests("caller_id"):
            *found, has_trunk = await gather(
                list_page(owned), list_page(verified), self._has_byoc_trunk(sip_domain_sid)
            )
        return has_trunk or any(record.phone_number == number for records in found for record in records)

    async def _has_byoc_trunk(self, sip_domain_sid: str) -> bool:
        """Whether a SIP domain belongs to a BYOC trunk, by its `ByocTrunkSid`."""
        if not sip_domain_sid:
            return False
        domain = self._client.api.v2010.account.sip.domains(sip_domain_sid)
        found = await if_found(read_with_retry(domain.fetch_async))
        return found is not None and bool(text_of(found.byoc_trunk_sid))

    async def is_live(self, call_sid: str) -> bool:
        """Whether a call is not over; False if Twilio does not know it."""
        return await self.status_of(call_sid) not in FINAL_CALL_STATUSES

    async def status_of(self, call_sid: str) -> str:
        """Return a call's status; `completed` if Twilio does not know it."""
        with label_requests("is_live"):
            return (await self._read_call(call_sid)).status

    async def live_call(self, call_sid: str) -> dict[str, str]:
        """Return a live call as a voice request would show it; empty if over."""
        with label_requests("is_live"):
            call = await if_found(read_with_retry(self._client.calls(call_sid).fetch_async))
        if call is None or call.status in FINAL_CALL_STATUSES:
            return {}
        caller = text_of(call._from)  # noqa: SLF001  # the library's public name of `from`
        found = {"From": caller, "To": call.to, "Direction": call.direction, "AnsweredBy": call.answered_by}
        return {"CallSid": call_sid} | {name: text_of(value) for name, value in found.items()}

    async def is_alone(self, conference_sid: str, call_sid: str) -> bool:
        """Whether this call is alone in a conference; ringing ones count."""
        with label_requests("is_alone"):
            inside = await participants_in(self._client, conference_sid)
        return [seen.call_sid for seen in inside] == [call_sid]

    async def read_calls(self, effect: ReadCalls) -> CallsRead:
        """Read a session's calls, and its conference.

        Twilio lists only live participants. The calls that its list lacks are read singly, up to a limit.
        """
        parent_call_sid = effect.parent_call_sid
        known: _Conference | None = None
        if effect.conference_sid:
            known = effect.conference_sid, await participants_in(self._client, effect.conference_sid)
        if known and not parent_call_sid:
            # A search by name would double most reads' requests. With a second conference, a live call is missing.
            missing = _missing_calls(effect, known, [])
            calls = await self._read_each(missing[:CALLS_READ_MAX])
            inside = {seen.call_sid for seen in known[1]}
            if inside and all(seen.status != CallStatus.IN_PROGRESS or seen.call_sid in inside for seen in calls):
                calls += await self._read_each(_unknown_calls(effect, known, len(missing)))
                return _calls_read(effect, known, calls, missing[CALLS_READ_MAX:])
        else:
            parents, children = await gather(
                self._read_each([parent_call_sid] if parent_call_sid else []), self._children_of(parent_call_sid)
            )
            calls = [*parents, *map(_call_seen, children)]
        conferences = await self._conferences_of(effect, known)
        conference = _pick_conference(conferences, effect, {*(seen.call_sid for seen in calls), *effect.call_sids})
        missing = _missing_calls(effect, conference, calls)
        calls += await self._read_each([*missing[:CALLS_READ_MAX], *_unknown_calls(effect, conference, len(missing))])
        return _calls_read(effect, conference, calls, missing[CALLS_READ_MAX:])

    # ---- parts of these --------------------------------------------------------------------------------------------

    async def calls_placed_since(self, effect: Dial | FindCall, since_ms: int) -> list[CallInstance]:
        """Return a dial's possible calls since a time (Unix ms), newest first.

        Twilio does not say whether its list knows a call by the address with its parameters, or without them.
        """
        shown = effect.options.caller_id or self._own_number
        earliest = datetime.fromtimestamp(since_ms / 1000, UTC) - SEARCH_SLACK
        for to in dict.fromkeys((address_with_params(effect.to, effect.options.params), effect.to)):
            page = partial(self._client.calls.page_async, to=to, from_=shown, page_size=SEARCH_RESULTS_MAX)
            calls = await list_page(page)
            if found := [one for one in calls if one.direction == "outbound-api" and _created_at(one) >= earliest]:
                return found
        return []

    async def _read_call(self, call_sid: str) -> CallSeen:
        """Return one call; `completed` if Twilio no longer knows it."""
        call = await if_found(read_with_retry(self._client.calls(call_sid).fetch_async))
        if call is None:
            return CallSeen(call_sid=call_sid, status=CallStatus.COMPLETED.value)
        return _call_seen(call)

    async def _read_each(self, call_sids: list[str]) -> list[CallSeen]:
        """Return calls in order, a few at a time, to delay no other session."""
        seen: list[CallSeen] = []
        for first in range(0, len(call_sids), CONCURRENT_READS_MAX):
            seen += await gather(*(self._read_call(sid) for sid in call_sids[first : first + CONCURRENT_READS_MAX]))
        return seen

    async def _children_of(self, call_sid: str) -> list[CallInstance]:
        """Return the calls that a call's `<Dial>` made; empty if there is none."""
        if not call_sid:
            return []
        return await list_page(partial(self._client.calls.page_async, parent_call_sid=call_sid, page_size=CHILDREN_MAX))

    async def _conferences_named(self, name_or_sid: str) -> list[str]:
        """Return the SIDs of a name's listed live conferences; a SID is returned."""
        if is_conference_sid(name_or_sid):
            return [name_or_sid]
        return [text_of(conference.sid) for conference in await live_conferences(self._client, name_or_sid)]

    async def _conferences_of(self, effect: ReadCalls, known: _Conference | None) -> list[_Conference]:
        """Return the session's live conferences; `known` is not read again."""
        sids = await self._conferences_named(effect.conference_name or effect.session_id)
        found: dict[str, tuple[ParticipantSeen, ...]] = {}
        if known is not None:
            sid, found[sid] = known
            # What no list shows may have not started, or be new.
            if sid not in sids and (found[sid] or await is_live_conference(self._client, sid)):
                sids.append(sid)
        others = [sid for sid in sids if sid not in found]
        found |= zip(others, await gather(*(participants_in(self._client, sid) for sid in others)), strict=True)
        return [(sid, found[sid]) for sid in sids]

    async def _conferences_after(self, effect: RedirectCall) -> list[_Conference]:
        """Return all conferences that the redirect could have led to."""
        conferences = await self._conferences_named(effect.conference_name or effect.session_id)
        if is_conference_sid(effect.conference) and effect.conference not in conferences:
            conferences.append(effect.conference)
        inside = await gather(*(participants_in(self._client, conference) for conference in conferences))
        return list(zip(conferences, inside, strict=True))


async def participants_in(client: Client, conference_sid: str) -> tuple[ParticipantSeen, ...]:
    """Return a conference's participants, also ringing; empty if it is over."""
    page = partial(client.conferences(conference_sid).participants.page_async, page_size=PARTICIPANTS_MAX)
    return tuple(parse_participant(seen) for seen in await if_found(list_page(page)) or ())


def _pick_conference(conferences: list[_Conference], effect: ReadCalls, call_sids: set[str]) -> _Conference:
    """Return the session's largest conference, because a late leg is alone.

    A conference of unknown SID counts only with a leg of the session: a name proves nothing.
    """
    own = [
        (conference_sid, inside)
        for conference_sid, inside in conferences
        if conference_sid == effect.conference_sid
        or any(seen.call_sid in call_sids or is_label(seen.label) for seen in inside)
    ]
    return max(own, key=lambda conference: len(conference[1]), default=("", ()))


def _missing_calls(effect: ReadCalls, conference: _Conference, calls: list[CallSeen]) -> list[str]:
    """Return the SIDs of calls to read singly: `calls` lacks them.

    The conference shows its participants' calls, except those in early media: a participant proves no answer.
    """
    shown = {seen.call_sid for seen in conference[1]} - set(effect.unproven_sids) | {seen.call_sid for seen in calls}
    return [sid for sid in dict.fromkeys(effect.call_sids) if sid not in shown]


def _unknown_calls(effect: ReadCalls, conference: _Conference, reads: int) -> list[str]:
    """Return the calls that the session, which lost its dials, does not know.

    A participant has no address. They are read singly, as far as so many other `reads` leave room.
    """
    known = {effect.parent_call_sid, *effect.call_sids}
    unknown = [seen.call_sid for seen in conference[1] if is_label(seen.label) and seen.call_sid not in known]
    return unknown[: max(0, CALLS_READ_MAX - reads)]


def _calls_read(effect: ReadCalls, conference: _Conference, calls: list[CallSeen], unread: list[str]) -> CallsRead:
    """Return the event for what was read; the next read fetches `unread`."""
    conference_sid, participants = conference
    return CallsRead(
        session_id=effect.session_id,
        token=f"{effect.effect_id}:outcome",
        effect_id=effect.effect_id,
        read_version=effect.read_version,
        calls=tuple(calls),
        conference_sid=conference_sid,
        participants=participants,
        unread=tuple(unread),
    )


def _call_seen(call: CallInstance) -> CallSeen:
    ended = call.end_time  # the library has None or text for a bad date
    return CallSeen(
        call_sid=text_of(call.sid),
        status=text_of(call.status),
        parent_call_sid=text_of(call.parent_call_sid),
        to=without_params(text_of(call.to)),
        ended_s=int(ended.timestamp()) if isinstance(ended, datetime) else 0,
    )


def _created_at(call: CallInstance) -> datetime:
    """Return when a call was created, or the minimum if Twilio's date is bad."""
    created = call.date_created  # the library has None or text for a bad date
    return created if isinstance(created, datetime) else datetime.min.replace(tzinfo=UTC)


async def twilio_now_ms(clock: RemoteClock, client: Client, account_sid: str) -> int:
    """Return Twilio's time, Unix milliseconds, up to a second late.

    Without any answer yet, ask for the account. That needs the auth token: a standard API key may not read it. Raises
    only `ProviderError`, and never `ResultUnknownError`: the question can be repeated. Source: Twilio docs, API keys.
    """
    if (now_ms := clock.now_ms()) is not None:
        return now_ms
    refusal: ProviderRefusedError | None = None
    with label_requests("account"):
        try:
            await send(client.api.v2010.accounts(account_sid).fetch_async())
        except ProviderRefusedError as error:
            refusal = error  # its date counts as well
        except ResultUnknownError:
            raise ProviderUnreachableError from None
    if (now_ms := clock.now_ms()) is not None:
        return now_ms
    raise refusal or ProviderUnreachableError
