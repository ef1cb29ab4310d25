"""What a desk sees of a session: the API's JSON, and its agent's part."""

from collections.abc import Callable
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.metrics import Metrics
from conferral.statemachine.machine import command_refusals
from conferral.statemachine.parts import DialOptions
from conferral.statemachine.session import AGENT, Party, Session
from conferral.storage.codecs.text_codec import to_iso
from conferral.webhooks.api.desk_routes import DESK_COMMANDS
from conferral.webhooks.api.streams import Followed, encode_event

_CLIENT = "client:"


def keeps_desk(session: Session, identity: str) -> bool:
    """Whether an agent's desk stays registered during this call.

    A call that was lost, and rings again, may have lost its desk, too.
    """
    legs = (party for party in session.present.values() if party.address == f"{_CLIENT}{identity}")
    return any(not leg.is_coming_back for leg in legs)


class SessionView:
    """One version of a session, for all desks that may see it."""

    def __init__(self, followed: Followed, metrics: Metrics, name_of: Callable[[str], str] = str) -> None:
        """Prepare a session; `name_of` returns what colleagues call an identity."""
        self.followed = followed
        self._metrics = metrics
        self._name_of = name_of

    def event(self, identity: str) -> bytes:
        """Return the event for one agent's desks."""
        session, own = self.followed.session, {}
        for name, party in session.present.items():
            if party.address == f"{_CLIENT}{identity}":
                options = _options_of(session, party)
                own[name] = self._shared["parties"][name] | {
                    "brief": options.brief or None,
                    "params": dict(parse_qsl(options.params, keep_blank_values=True)) or None,
                    "from_agent": _handed_over_by(session, party) or None,
                    "is_lost": party.is_coming_back,
                }
        return encode_event("session", self._shared | {"parties": self._shared["parties"] | own})

    @cached_property
    def waiting(self) -> dict[str, Any]:
        """The JSON of a call that is parked, or in a queue, for its team."""
        session = self.followed.session
        since = to_iso(session.queued_since_ms) if session.queued_since_ms else None
        return self.followed.public | {
            "parked_by": session.parked_by or None,
            "queued_since": since,
            "names": self._names,
        }

    @cached_property
    def _shared(self) -> dict[str, Any]:
        session = self.followed.session
        recording = session.recording.status if session.recording is not None else ""
        return self.followed.public | {
            "recording": recording or None,
            "refused": self._refused(),
            "names": self._names,
            # On a hold from before an outage of Redis.
            "old_holds": [party.name for party in session.present.values() if party.is_on_found_hold],
        }

    @property
    def _names(self) -> dict[str, str]:
        """What colleagues call the session's agents, by address."""
        session = self.followed.session
        addresses = {party.address for party in session.parties.values()} | {session.parked_by}
        identities = (one.removeprefix(_CLIENT) for one in addresses if one.startswith(_CLIENT))
        return {f"{_CLIENT}{one}": name for one in sorted(identities) if (name := self._name_of(one)) != one}

    def _refused(self) -> dict[str, str]:
        """Return why commands would be refused now, whatever their fields."""
        session = self.followed.session
        if session.is_ended:
            return {}
        found: dict[str, str] = {}
        allowed: set[str] = set()
        with contain(ItemKind.TASK, self._metrics, task="desks", session_id=session.id):  # a desk sees it all the same
            for command, refusal in command_refusals(session):
                if not refusal:
                    allowed.add(command.name)
                found.setdefault(command.name, refusal)
        names = (command.name for command in DESK_COMMANDS)
        return {name: found[name] for name in names if name in found and name not in allowed}


def _options_of(session: Session, party: Party) -> DialOptions:
    """Return how a party was dialed: by REST, or as the bridge's agent."""
    return session.options if party.name == AGENT and not party.dial_id else party.options


def _handed_over_by(session: Session, party: Party) -> str:
    """Return the address of the agent who hands over to a party; or empty."""
    former = [one.address for name, one in session.parties.items() if name.startswith(f"{AGENT}-")]
    if party.name != AGENT:
        agent = session.parties.get(AGENT)
        former += [session.parked_by, agent.address if agent is not None else ""]
    return next((one for one in reversed(former) if one and one != party.address), "")
