"""A session: the whole memory of one conversation. Frozen; a change is a new one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from statemachine.seen import Seen
from statemachine.states import PartyStatus, Phase, State

#: The two parties of a bridged call, by the names that commands and keys use.
CUSTOMER = "customer"
AGENT = "agent"


def first_label(party: str) -> str:
    """The participant label of a party's first leg. It is fixed, so that a webhook can join a leg without Redis."""
    return f"{party}-1"


@dataclass(frozen=True, slots=True)
class Party:
    """One of those who take part."""

    name: str
    #: Participant label in Twilio: unique within the session, never used for another leg.
    label: str
    call_sid: str = ""
    #: E.164, `client:NAME`, `sip:URI`, or what Twilio says of a caller who withholds the number.
    address: str = ""
    status: PartyStatus = PartyStatus.DIALING
    held: bool = False
    muted: bool = False
    #: Why the party left, in Twilio's words where Twilio said so.
    left_reason: str = ""
    #: Whether the conference's callbacks or a read say that the party is in it.
    in_room: bool = False
    #: SequenceNumber of the newest conference event taken for this party: older ones change nothing.
    room_sequence: int = -1

    @property
    def is_gone(self) -> bool:
        """Whether the party's call is over."""
        return self.status is PartyStatus.LEFT


@dataclass(frozen=True, slots=True)
class Session:
    """One conversation, as far as it is known."""

    id: str
    state: State = State.BRIDGED
    phase: Phase = Phase.RINGING
    #: Grows by one with every committed event; 0 means that the session does not exist yet.
    version: int = 0
    #: `inbound` or `outbound`.
    direction: str = "inbound"
    created_at_ms: int = 0
    updated_at_ms: int = 0
    ended_at_ms: int = 0
    end_reason: str = ""
    conference_sid: str = ""
    parties: Mapping[str, Party] = field(default_factory=dict)

    #: Name of the party that left first, empty while nobody has.
    first_left: str = ""
    #: DialCallStatus of the bridge's `<Dial>`, empty while it has not ended.
    dial_call_status: str = ""
    #: The missing leg of a conversion was redirected once already.
    repaired: bool = False
    #: Ids of the redirects whose outcome is not known yet.
    redirecting: tuple[str, ...] = ()
    #: When a leg was last seen on its way into the conference, Unix milliseconds; 0 while none was.
    moved_at_ms: int = 0
    #: Version at which a fact about a party changed last.
    facts_version: int = 0
    #: Ids of the commands that wait until both parties are in the conference.
    converting_for: tuple[str, ...] = ()
    #: Id of the `end` command that waits for Twilio's confirmation.
    ending_for: str = ""
    #: Ids of the ending effects that Twilio has not confirmed yet.
    ending_effects: tuple[str, ...] = ()
    #: Due times by timer name, Unix milliseconds.
    timers: Mapping[str, int] = field(default_factory=dict)
    #: What was taken already.
    seen: Seen = field(default_factory=Seen)

    def party_of(self, *, call_sid: str = "", label: str = "", name: str = "") -> Party | None:
        """The party that a callback speaks of: by its call, else by its label, else by the name in the URL."""
        for party in self.parties.values():
            if call_sid and party.call_sid == call_sid:
                return party
        for party in self.parties.values():
            if not party.call_sid and ((label and party.label == label) or (name and party.name == name)):
                return party
        return None

    @property
    def in_room(self) -> tuple[Party, ...]:
        """Those who are in the conference."""
        return tuple(party for party in self.parties.values() if party.in_room)
