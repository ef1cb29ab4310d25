"""What is heard, in words: for who holds the phone, and for who reads who hears whom."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from conferral.sandbox.model import Sound

UNKNOWN_PERSON = "somebody"
"""Who is on a leg that no phone here has."""


def file_name(url: str) -> str:
    """The last part of a file's address."""
    return urlsplit(url).path.rpartition("/")[2]


def is_ringing(heard: Sound) -> bool:
    """Whether somebody who listens takes it for ringing."""
    return heard.kind == "ringback" or (heard.kind == "music" and "ringback" in file_name(heard.content))


def sound_bubble(heard: Sound, names: Sequence[str]) -> tuple[str, str]:
    """What is drawn beside the phone: its kind (`voice`, `ringing`, `music`, `speech`, `silence`), and the words.

    Args:
        heard: What is heard.
        names: Of those who are heard.
    """
    if is_ringing(heard):
        return "ringing", "tuut ... tuut: it rings at the other end"
    match heard.kind:
        case "parties":
            also = [*names, "a phone ringing"] if heard.ringing else list(names)
            return "voice", f"you hear {join_names(also)}"
        case "speech":
            return "speech", f"a voice says: “{heard.content}”"
        case "music":
            return "music", f"♪ music ♪ ({file_name(heard.content)})" if heard.content else "♪ music ♪"
        case _:
            return "silence", "nothing: silence"


def sound_sentence(name: str, heard: Sound, names: Sequence[str]) -> str:
    """Who hears whom, as somebody who looks on says it."""
    if is_ringing(heard):
        return f"{name} hears it ring"
    match heard.kind:
        case "parties":
            also = [*names, "a phone ringing"] if heard.ringing else list(names)
            return f"{name} hears {join_names(also)}"
        case "speech":
            return f"{name} hears “{heard.content}”"
        case _:
            return f"{name} hears {heard.kind}"


def join_names(names: Sequence[str]) -> str:
    """Several names in one: `alice, bob and carol`.

    >>> listed(["alice", "bob", "carol"])
    'alice, bob and carol'
    """
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else "nobody"
