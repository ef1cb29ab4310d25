"""What desks see of a team: the directory with presence, who waits."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec

from conferral.statemachine.session import Session
from conferral.statemachine.states import KEPT_WAITING, Phase, TransferMode
from conferral.storage.agents import AgentStatus
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
        #: By id: the calls that someone has parked, or whose callers wait in a queue.
        self._waiting: dict[str, SessionView] = {}

    def reset(self) -> None:
        """Forget who waits."""
        self._waiting = {}

    def parked(self, token: DeskToken, live: Iterable[str]) -> list[SessionView]:
        """Return the calls that the agent's team has parked, oldest first."""
        return self._own(token, live, is_parked_by)

    def _own(
        self, token: DeskToken, live: Iterable[str], is_own: Callable[[Session, DeskToken], bool]
    ) -> list[SessionView]:
        found = (self._waiting[name] for name in self._waiting.keys() & set(live))
        own = [view for view in found if is_own(view.followed.session, token)]
        return sorted(own, key=lambda one: (one.followed.session.created_at_ms, one.followed.session.id))

    def names(self, token: DeskToken) -> list[DirectoryName]:
        """Return the directory's names that the agent may call."""
        return _names(self._entries, token)

    def push_first(self, reader: DeskReader, live: Iterable[str]) -> None:
        """Send everything to a new stream."""
        for kind, is_own in _KINDS.items():
            for view in self._own(reader.token, live, is_own):
                reader.push(_event(kind, view, view))
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
        """Send a change of a call that waits, or that it waits no more."""
        former = self._waiting.pop(name, None)
        if view is not None and view.followed.session.phase in KEPT_WAITING and view.followed.session.is_live:
            self._waiting[name] = view
        now = self._waiting.get(name)
        if (shown := now or former) is None:
            return
        for kind, is_own in _KINDS.items():
            event, over = _event(kind, shown, now), _event(kind, shown, None)
            for reader in self._readers.all():
                if now is not None and is_own(now.followed.session, reader.token):
                    self._readers.push(reader, event)
                elif former is not None and is_own(former.followed.session, reader.token):
                    self._readers.push(reader, over)


def is_parked_by(session: Session, token: DeskToken) -> bool:
    """Whether desks of the token's issuer have parked a call."""
    if (transfer := session.transfer) is None or transfer.mode is not TransferMode.PARK:
        return False
    is_parked = session.is_live and session.phase is Phase.PARKED
    return is_parked and token.is_sender(transfer.by) and "/" in transfer.by


def is_queued_for(session: Session, token: DeskToken) -> bool:
    """Whether a caller waits in a queue for this agent, among others."""
    return session.is_live and session.phase is Phase.QUEUED and token.address in session.agents


#: By the name of the event: whether a desk sees a call.
_KINDS = {"parked": is_parked_by, "queued": is_queued_for}


def _names(entries: Mapping[str, _Entry], token: DeskToken) -> list[DirectoryName]:
    return [
        DirectoryName(name, entry.status)
        for name, entry in sorted(entries.items())
        if entry.address != token.address and token.may_name(name)
    ]


def _directory_event(names: list[DirectoryName], *, is_all: bool) -> bytes:
    return encode_event("directory", {"names": msgspec.to_builtins(names), "is_all": is_all})


def _event(kind: str, shown: SessionView, now: SessionView | None) -> bytes:
    return encode_event(kind, {"id": shown.followed.session.id, "session": now.waiting if now is not None else None})
