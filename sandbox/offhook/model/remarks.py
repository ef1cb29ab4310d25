"""What the debugger says of a request, or a document, that works anyway."""

from collections.abc import Iterable
from dataclasses import dataclass

from offhook.model.messages import NOT_MODELED, Level


@dataclass(frozen=True, slots=True)
class Remark:
    """Something was ignored."""

    code: int  #: Twilio's, or `NOT_MODELED`.
    message: str
    level: Level = "warning"


def not_modeled(what: str) -> str:
    """Return that Twilio has it, and the sandbox doesn't."""
    return f"Twilio has {what}; the sandbox does not model it, and ignores it"


def request_not_modeled(method: str, path: str) -> Remark:
    """Return that a request gets 404, which Twilio may answer."""
    return Remark(NOT_MODELED, f"the sandbox does not model {method} {path}")


def hint(wrong: str, names: Iterable[str]) -> str:
    """Return which name differs from a wrong one only by case, if any."""
    right = next((name for name in names if name.lower() == wrong.lower()), "")
    return f", but {right}: names are case-sensitive" if right else ""
