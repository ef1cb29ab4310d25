"""Keyboard input of `watch`: single keys change the selection."""

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from conferral.cli.completion import LIVE_STATES
from conferral.storage.codecs.session_view import SessionView

#: In cycling order; empty for all.
STATES = ("", *LIVE_STATES)
TEXT_MAX = 40
HELP = (
    ("j, k", "move down and up (or arrow keys); Enter opens the session, q or Esc goes back"),
    ("/", "search by SID, last digits, or name; Enter keeps the search"),
    ("s", "cycle through the states"),
    ("t", "toggle: only sessions that need attention"),
    ("Esc", "show all sessions"),
    ("?", "show or hide this help"),
    ("q", "quit"),
)
#: What terminals send for the arrow keys, in both cursor key modes.
_ARROWS = {"\x1b[A": "k", "\x1bOA": "k", "\x1b[B": "j", "\x1bOB": "j"}
_ESCAPE, _BACKSPACE, _ENTER = "\x1b", ("\x7f", "\x08"), ("\r", "\n")


@dataclass(slots=True)
class Selection:
    """Which sessions are shown, and the search text."""

    #: Empty for all.
    state: str = ""
    needs_attention: bool = False
    #: Text that a session must contain; empty for any.
    text: str = ""
    is_typing: bool = False
    wants_help: bool = False
    #: Rows that the selection has moved since the last poll; negative is up.
    moved: int = 0
    #: Whether one session is shown instead of the list.
    is_open: bool = False
    wants_to_stop: bool = False

    def matches(self, session: SessionView, shown: str, *, needs_attention: bool) -> bool:
        """Whether a session, shown as this text, passes the filter."""
        if self.state not in ("", session.state) or (self.needs_attention and not needs_attention):
            return False
        parties = [f"{party.call_sid} {party.label} {party.address}" for party in session.parties.values()]
        searched = " ".join([shown, session.id, session.conference_sid, *parties])
        return self.text.lower() in searched.lower()

    @property
    def description(self) -> str:
        """The selection in words; empty if everything is selected."""
        parts = (self.state, "needing attention" if self.needs_attention else "", f"/{self.text}" if self.text else "")
        return ", ".join(filter(None, parts))

    def press(self, keys: str) -> None:
        """Apply keys that one read of the terminal returned."""
        if len(keys) > 1 and keys.startswith(_ESCAPE):
            if not self.is_typing and keys in _ARROWS:
                self._apply(_ARROWS[keys])
            return  # another key with an escape sequence
        for key in keys:
            if self.is_typing:
                self._edit_search(key)
            else:
                self._apply(key)

    def _edit_search(self, key: str) -> None:
        if key in _ENTER:
            self.is_typing = False
        elif key == _ESCAPE:
            self.is_typing, self.text = False, ""
        elif key in _BACKSPACE:
            self.text = self.text[:-1]
        elif key.isprintable():
            self.text = (self.text + key)[:TEXT_MAX]

    def _apply(self, key: str) -> None:
        if key in "jk":
            self.moved += 1 if key == "j" else -1
        elif self.is_open:
            self.is_open = key not in ("q", _ESCAPE, *_ENTER)
        elif key in _ENTER:
            self.is_open = True
        else:
            self._apply_to_list(key)

    def _apply_to_list(self, key: str) -> None:
        if key == "q":
            self.wants_to_stop = True
        elif key == "/":
            self.is_typing, self.text = True, ""
        elif key == "s":
            index = STATES.index(self.state) if self.state in STATES else 0
            self.state = STATES[(index + 1) % len(STATES)]
        elif key == "t":
            self.needs_attention = not self.needs_attention
        elif key == "?":
            self.wants_help = not self.wants_help
        elif key == _ESCAPE:
            self.state, self.needs_attention, self.text, self.wants_help = "", False, "", False


@contextmanager
def read_keys(handle: Callable[[str], None]) -> Iterator[bool]:
    """Pass typed keys to a handler; yield whether there is a keyboard."""
    if not sys.stdin.isatty():
        yield False
        return
    fd, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(fd)

    def read() -> None:
        sent = os.read(fd, 1024)
        if not sent:  # the terminal is gone
            loop.remove_reader(fd)
        handle(sent.decode(errors="ignore"))

    try:
        tty.setcbreak(fd)  # Ctrl-C still ends the program
        loop.add_reader(fd, read)
        yield True
    finally:
        loop.remove_reader(fd)
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
