"""A view: what one page displays; and the message that asks for it."""

from abc import ABC, abstractmethod
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from conferral.statemachine.ids import REFERENCE_PATTERN
from conferral.storage.queries.dead_letters import REASON_MAX

_Id = Annotated[str, Field(pattern=f"^{REFERENCE_PATTERN.pattern}$")]


class PageMessage(BaseModel):
    """A page's message: the view that it shows, or a command to follow."""

    model_config = ConfigDict(strict=True, frozen=True)

    view: Literal["sessions", "session", "agents", "health", "dead"] | None = None
    #: Whether numbers are shown in full, and whether the list has ended sessions.
    full: bool = False
    ended: bool = False
    #: Whether the list is shown next to a session.
    with_list: bool = False
    #: The reader's time zone, in which today begins.
    zone: Annotated[str, Field(max_length=64)] = ""
    #: The session's id, or a call SID.
    id: _Id | None = None
    #: The last log entry that the page has, and the version to show.
    after: Annotated[str, Field(max_length=64)] = ""
    #: Of the dead letters to show; all if empty.
    reason: Annotated[str, Field(max_length=REASON_MAX)] = ""
    follow: _Id | None = None
    #: The followed command's kind, and its deadline.
    type: Annotated[str, Field(max_length=32)] = ""
    deadline: Annotated[str, Field(max_length=64)] = ""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.follow is None and self.view is None:
            raise ValueError("view or follow is missing")
        if self.view == "session" and self.id is None:
            raise ValueError("id is missing")
        return self


class View(ABC):
    """What one page displays. It remembers what it has sent."""

    #: The summary last sent with it, for the banner of every page.
    sent_summary = b""
    _sent = b""

    @abstractmethod
    async def new_messages(self) -> list[bytes]:
        """Return messages about changes; if it raises StoreError, none is lost."""

    def _if_changed(self, message: bytes) -> list[bytes]:
        if message == self._sent:
            return []
        self._sent = message
        return [message]
