"""What a test chooses of its sandbox."""

from math import isfinite
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args

from offhook.faults import Faults
from offhook.model.behavior import Behavior
from offhook.pace import Clock

if TYPE_CHECKING:
    from offhook.runtime import SandboxRuntime

SPEED = 20.0
DEFAULTS: dict[str, Any] = {
    "speed": SPEED,
    "behavior": None,
    "strict": False,
    "unmodeled": "error",
    "records_all_calls": False,
    "clock": "running",
}
"""The options, with what they are unless a test says otherwise."""
_KINDS: dict[str, tuple[type, ...]] = {
    "speed": (int, float),
    "behavior": (Behavior, NoneType),
    "strict": (bool,),
    "unmodeled": (str,),
    "records_all_calls": (bool,),
    "clock": (str,),
}


def check_options(options: dict[str, Any]) -> None:
    """Raise TypeError for an unknown option or kind, ValueError for a value."""
    if unknown := options.keys() - DEFAULTS.keys():
        raise TypeError(f"the sandbox has no option {min(unknown)!r}: there are {', '.join(DEFAULTS)}")
    for name, value in options.items():
        kinds = _KINDS[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            allowed = " or ".join("None" if kind is NoneType else kind.__name__ for kind in kinds)
            raise TypeError(f"the option {name} takes {allowed}, not {value!r}")
    if options.get("unmodeled", "warn") not in {"error", "warn"}:
        raise ValueError(f"the option unmodeled takes 'error' or 'warn', not {options['unmodeled']!r}")
    if (clock := options.get("clock", "running")) not in get_args(Clock):
        raise ValueError(f"the option clock takes {', '.join(map(repr, get_args(Clock)))}, not {clock!r}")
    speed = options.get("speed", SPEED)
    if not isfinite(speed) or speed <= 0:
        raise ValueError(f"the option speed takes a number above 0, not {speed!r}")


def check_shared(options: dict[str, Any]) -> None:
    """Raise ValueError for what a sandbox of another process can't do."""
    if options.get("clock", "running") != "running":
        raise ValueError("the clock of a sandbox in another process is 'running': it doesn't know when the test waits")


def empty(sandbox: "SandboxRuntime", options: dict[str, Any]) -> None:
    """Remove everything, and set the options, if they are possible."""
    check_options(options)
    for name, value in (DEFAULTS | options).items():
        setattr(sandbox, name, value)
    sandbox.faults = Faults()
    sandbox.on_rest = None
    sandbox.reset()
    sandbox.model.state.numbers.clear()
    sandbox.phones.clear()
    sandbox.restart_clock()
