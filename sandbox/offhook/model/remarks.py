"""What the debugger says of a request, or a document, that works anyway."""

from collections.abc import Iterable
from dataclasses import dataclass

from offhook.model.messages import Level


@dataclass(frozen=True, slots=True)
class Remark:
    """Something was ignored."""

    code: int  #: Twilio's; 0: Twilio would act on what the sandbox ignores.
    message: str
    level: Level = "warning"


def not_modeled(what: str) -> str:
    """Return that Twilio has it, and the sandbox doesn't."""
    return f"Twilio has {what}; the sandbox does not model it, and ignores it"


def hint(wrong: str, names: Iterable[str]) -> str:
    """Return which name differs from a wrong one only by case, if any."""
    right = next((name for name in names if name.lower() == wrong.lower()), "")
    return f", but {right}: names are case-sensitive" if right else ""
