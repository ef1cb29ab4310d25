"""What desks see of a team: the directory with presence, parked calls."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec

from conferral.statemachine.states import Phase, TransferMode
from conferral.storage.agents import AgentStatus
from conferral.storage.codecs.session_codec import StoredSession
from conferral.webhooks.api import desk_models
from conferral.webhooks.api.desk_models import DirectoryName
from conferral.webhooks.api.streams import encode_event
from conferral.webhooks.desk.readers import DeskReader, DeskReaders
from conferral.webhooks.desk.session_view import SessionView
from conferral.webhooks.desk.tokens import DeskToken


class _Entry(NamedTuple):
    """A name of the directory."""

    address: str
    #: None if it is not the name of an agent with a desk.
    status: AgentStatus | None


class Team:
    """What all desks of a team see, as their streams have it."""

    def __init__(self, destinations: Callable[[], Mapping[str, str]], readers: DeskReaders) -> None:
        self._destinations = destinations
        self._readers = readers
        self._entries: dict[str, _Entry] = {}
        self._parked: dict[str, SessionView] = {}

    def reset(self) -> None:
        """Forget the parked calls."""
        self._parked = {}

    def parked(self, token: DeskToken, live: Iterable[str]) -> list[SessionView]:
        """Return the calls that the agent's team has parked, oldest first."""
        found = (self._parked[name] for name in self._parked.keys() & set(live))
        own = [view for view in found if is_parked_by(view.followed.session, token)]
        return sorted(own, key=lambda one: (one.followed.session.created_at_ms, one.followed.session.id))

    def names(self, token: DeskToken) -> list[DirectoryName]:
        """Return the directory's names that the agent may call."""
        return _names(self._entries, token)

    def push_first(self, reader: DeskReader, live: Iterable[str]) -> None:
        """Send everything to a new stream."""
        for view in self.parked(reader.token, live):
            reader.push(_parked_event(view, view))
        reader.push(_directory_event(self.names(reader.token), is_all=True))

    def update_presence(self, agents: Iterable[desk_models.Agent]) -> None:
        """Send the names that differ; all of them, if names are gone."""
        statuses = {f"client:{agent.identity}": agent.status for agent in agents}
        entries = {name: _Entry(address, statuses.get(address)) for name, address in self._destinations().items()}
        former, self._entries = self._entries, entries
        is_all = bool(former.keys() - entries.keys())
        changed = {name: entry for name, entry in entries.items() if is_all or former.get(name) != entry}
        if is_all or changed:
            for reader in self._readers.all():
                if (names := _names(changed, reader.token)) or is_all:
                    self._readers.push(reader, _directory_event(names, is_all=is_all))

    def update_session(self, name: str, view: SessionView | None) -> None:
        """Send a change of a parked call, or that it is parked no more."""
        former = self._parked.pop(name, None)
        if view is not None and view.followed.session.phase is Phase.PARKED and view.followed.session.is_live:
            self._parked[name] = view
        now = self._parked.get(name)
        if (shown := now or former) is None:
            return
        event, over = _parked_event(shown, now), _parked_event(shown, None)
        for reader in self._readers.all():
            if now is not None and is_parked_by(now.followed.session, reader.token):
                self._readers.push(reader, event)
            elif former is not None and is_parked_by(former.followed.session, reader.token):
                self._readers.push(reader, over)


def is_parked_by(session: StoredSession, token: DeskToken) -> bool:
    """Whether desks of the token's issuer have parked a call."""
    if (transfer := session.transfer) is None or transfer.mode is not TransferMode.PARK:
        return False
    is_parked = session.is_live and session.phase is Phase.PARKED
    return is_parked and token.is_sender(transfer.by) and "/" in transfer.by


def _names(entries: Mapping[str, _Entry], token: DeskToken) -> list[DirectoryName]:
    return [
        DirectoryName(name, entry.status)
        for name, entry in sorted(entries.items())
        if entry.address != token.address and token.may_name(name)
    ]


def _directory_event(names: list[DirectoryName], *, is_all: bool) -> bytes:
    return encode_event("directory", {"names": msgspec.to_builtins(names), "is_all": is_all})


def _parked_event(shown: SessionView, now: SessionView | None) -> bytes:
    return encode_event("parked", {"id": shown.followed.session.id, "session": now.parked if now is not None else None})
