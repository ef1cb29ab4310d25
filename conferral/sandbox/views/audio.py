"""What parties hear, in words: for the phone's user, and for observers."""

from collections.abc import Sequence

from conferral.sandbox.model.audibility import Sound
from conferral.sandbox.model.formats import split_url

UNKNOWN_PERSON = "an unknown party"  #: Name of a leg whose phone isn't in the sandbox.


def file_name(url: str) -> str:
    """Return the last segment of a file's URL."""
    return split_url(url).path.rpartition("/")[2]


def is_ringing(heard: Sound) -> bool:
    """Whether it is Twilio's ringback, or a file with `ringback` in its name."""
    return heard.kind == "ringback" or (heard.kind == "music" and "ringback" in file_name(heard.content))


def sound_bubble(heard: Sound, names: Sequence[str]) -> tuple[str, str]:
    """Return the kind and text of what a phone's user hears from `names`.

    The kind is `voice`, `ringing`, `music`, `speech`, or `silence`.
    """
    if is_ringing(heard):
        return "ringing", "ringing tone"
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
    """Return what the party `name` hears from the parties `names`."""
    if is_ringing(heard):
        return f"{name} hears ringing"
    match heard.kind:
        case "parties":
            also = [*names, "a phone ringing"] if heard.ringing else list(names)
            return f"{name} hears {join_names(also)}"
        case "speech":
            return f"{name} hears “{heard.content}”"
        case _:
            return f"{name} hears {heard.kind}"


def join_names(names: Sequence[str]) -> str:
    """Join names: `alice, bob, and carol`."""
    if len(names) > 2:
        return f"{', '.join(names[:-1])}, and {names[-1]}"
    return " and ".join(names) or "no one"
