"""Session view: what all but the owning worker read, from any hash.

Callbacks must be answered, and lists shown, whatever a hash holds: invalid values count as absent, unknown words stay.
Views are not frozen: webhooks create one per answer, and creating frozen ones takes three times as long.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from conferral.statemachine.conference_attributes import DEFAULT_ATTRIBUTES, ConferenceAttributes
from conferral.statemachine.pending_command import PendingCommand
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND, SUPERVISOR, TARGET
from conferral.statemachine.states import PartyStatus, SessionMode, State, WaitAudio
from conferral.statemachine.transfer import Attempt, DialOptions
from conferral.storage.codecs.hash_codec import INVALID, Decode, HashCodec

_ROLES = (CUSTOMER, AGENT, TARGET)
#: Roles listed after added parties: former agents and supervisors.
_LAST_ROLES = (AGENT, SUPERVISOR)


@dataclass(slots=True)
class PartyView:
    """A party, as `statemachine.session.Party`; the repr hides private data."""

    call_sid: str = ""
    label: str = ""
    address: str = field(default="", repr=False)
    status: str = ""
    dial_id: str = ""
    brief: str = field(default="", repr=False)
    recall_reason: str = ""
    confirm: bool = False
    ring_group: str = ""
    is_leaving: bool = False
    wait_audio: WaitAudio = WaitAudio.NONE
    supervises: str = ""
    held: bool = False
    muted: bool = False
    left_reason: str = ""
    in_conference: bool = False
    early_media: bool = False
    waits_for_start: bool = False
    coaches: str = ""
    pending_update: str = ""
    pending_since_ms: int = 0
    held_since_ms: int = 0
    dialed_at_ms: int = 0
    answered_at_ms: int = 0
    name: str = field(default="", compare=False)

    @property
    def is_gone(self) -> bool:
        """Whether the party's call has ended."""
        return self.status == PartyStatus.LEFT

    @property
    def is_connected(self) -> bool:
        """Whether the party's call is connected."""
        return self.status == PartyStatus.CONNECTED


@dataclass(slots=True)
class TransferView:
    """The newest transfer, as `TransferState`; empty before the first."""

    mode: str = ""
    to: str = field(default="", repr=False)
    status: str = ""
    reason: str = ""
    by: str = ""
    stage: str = ""
    attempts: tuple[Attempt, ...] = ()


@dataclass(slots=True)
class RecordingView:
    """The newest recording, as `Recording`; empty before the first."""

    sid: str = ""
    status: str = ""
    url: str = ""
    duration_s: int = 0
    pending_update: str = ""


@dataclass(slots=True)
class SessionView:
    """A session, as `statemachine.session.Session`."""

    state: str = ""
    conference_sid: str = ""
    direction: str = INBOUND
    #: In display order: customer and agent, dialed and added parties, then former agents and supervisors.
    parties: Mapping[str, PartyView] = field(default_factory=dict)
    phase: str = ""
    end_reason: str = ""
    mode: str = SessionMode.BRIDGE.value
    opening: str = ""
    attributes: ConferenceAttributes = DEFAULT_ATTRIBUTES
    agents: tuple[str, ...] = field(default=(), repr=False)
    agent_number: int = 0
    #: How the bridge's `<Dial>` ended; empty while it lasts.
    dial_call_status: str = ""
    #: How to dial the agent of a `call`.
    options: DialOptions = field(default_factory=DialOptions, repr=False)
    pending_commands: tuple[PendingCommand, ...] = field(default=(), repr=False)
    conference_name: str = ""
    by: str = ""
    transfer: TransferView = field(default_factory=TransferView)
    recording: RecordingView = field(default_factory=RecordingView)
    id: str = ""
    version: int = 0
    created_at_ms: int = 0
    updated_at_ms: int = 0
    state_since_ms: int = 0
    ended_at_ms: int = 0
    parked_until_ms: int = 0
    former_calls: tuple[str, ...] = ()
    former_conferences: tuple[str, ...] = ()
    open_read_id: str = ""
    open_read_since_ms: int = 0
    refused_transfer: str = ""
    refused_transfer_at_ms: int = 0
    timers: Mapping[str, int] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_known(self) -> bool:
        """Whether the hash is a session's."""
        return is_session(self.fields)

    @property
    def is_live(self) -> bool:
        """Whether the session exists and hasn't ended."""
        return self.state not in ("", State.ENDED)

    @property
    def is_ended(self) -> bool:
        """Whether the session has ended."""
        return self.state == State.ENDED

    @property
    def present(self) -> dict[str, PartyView]:
        """The parties that haven't left, by name."""
        return {name: party for name, party in self.parties.items() if not party.is_gone}

    @property
    def connected(self) -> dict[str, PartyView]:
        """The parties whose calls are connected, by name."""
        return {name: party for name, party in self.parties.items() if party.is_connected}

    def party_of(self, call_sid: str) -> str:
        """Return the name of the party that has the call; empty if unknown."""
        return next((name for name, party in self.parties.items() if party.call_sid == call_sid), "")

    def dialed_by(self, dial_id: str) -> str:
        """Return the name of the party that a dial brings in; empty if none."""
        return next((name for name, party in self.parties.items() if party.dial_id == dial_id), "")


def is_session(fields: Mapping[str, str]) -> bool:
    """Whether a hash is a session's, neither expired nor foreign."""
    return "id" in fields and "state" in fields


def view_of(fields: dict[str, str]) -> SessionView:
    """Decode any hash, also one that is empty or not a session's."""
    groups: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for name, text in fields.items():
        if located := _locate(name):
            group, attribute, decode = located
            try:
                groups[group][attribute] = decode(text)
            except INVALID:
                continue
    party_groups = (name for name, group in groups.items() if name.startswith("party.") and "status" in group)
    names = [name.removeprefix("party.") for name in party_groups]
    return SessionView(
        **groups[""],
        parties={
            name: PartyView(name=name, **groups[f"party.{name}"]) for name in sorted(names, key=_display_position)
        },
        transfer=TransferView(**groups["transfer"]),
        recording=RecordingView(**groups["recording"]),
        fields=fields,
    )


@lru_cache(4_096)
def _locate(name: str) -> tuple[str, str, Decode] | None:
    """Return a field's group (such as `party.agent`), attribute, and decoder."""
    group, _, attribute = name.rpartition(".")
    found = _DECODERS.get("party" if group.startswith("party.") else group, {}).get(attribute)
    return found and (group, *found)


def _display_position(party: str) -> tuple[int, str, int, str]:
    """Sort key of the display order; see `SessionView.parties`."""
    role, _, number = party.partition("-")
    rank = _ROLES.index(party) if party in _ROLES else len(_ROLES) + (role in _LAST_ROLES) - (role == TARGET)
    # ASCII digits only: another program may have named a party with digits that `int` rejects.
    return rank, role, int(number) if re.fullmatch(r"[0-9]{1,9}", number) else 0, party


def decode_pending_commands(text: str) -> tuple[PendingCommand, ...]:
    """Decode pending commands from JSON; raise one of `INVALID`."""
    return tuple(
        PendingCommand(
            str(one.get("command_id", "")), str(one["name"]), str(one.get("party", "")), say=str(one.get("say", ""))
        )
        for one in orjson.loads(text)
    )


def _decode_timers(text: str) -> dict[str, int]:
    pairs = (one.partition("=") for one in text.split())
    return {name: int(due) for name, _, due in pairs if re.fullmatch(r"[0-9]{1,15}", due)}


def _decode_count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise ValueError
    return int(text)


# Only decoded: a view is never stored.
_CODECS: Mapping[Any, Any] = {
    int: (str, _decode_count),
    Mapping[str, int]: (str, _decode_timers),
    tuple[PendingCommand, ...]: (str, decode_pending_commands),
}
_DECODERS = {
    "": HashCodec(SessionView, codecs=_CODECS, without=("parties", "transfer", "recording", "fields")).decoders,
    "party": HashCodec(PartyView, codecs=_CODECS, without=("name",)).decoders,
    "transfer": HashCodec(TransferView, codecs=_CODECS).decoders,
    "recording": HashCodec(RecordingView, codecs=_CODECS).decoders,
}
