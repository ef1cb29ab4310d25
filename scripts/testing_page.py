"""Generate what tests have in Python: sandbox/docs/testing.md, and docs/reference/testing.md."""

import inspect
import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType

from source_notes import inline_notes_of

from conferral import pytest_plugin as conferral_plugin
from conferral.testing import ConferralStack, DeliveredOutcome, DeliveredOutcomes, Desk
from offhook import Behavior, CallHandle, ConferenceHandle, Faults, PhoneScript, Sandbox, pytest_plugin
from offhook.request_log import RequestLog
from offhook.testing import Phone, TwilioSandbox

Fixtures = tuple[ModuleType, tuple[str, ...]]
_OFFHOOKS = """\
# Test support

Generated from the code by `make docs`. [The README](../README.md#in-tests) has examples.
"""
_CONFERRALS = """\
# Test support

Generated from the code by `make docs`. [The sandbox](../sandbox.md#test-your-app) has examples, and
[Offhook](../../sandbox/docs/testing.md) the rest: phones, calls, faults.
"""
_INTERNAL = {"plan_callback", "plan_fetch", "plan_rest", "trim", "empty", "unexpected_alerts"}
_INTERNAL |= {"steps_before_answer", "steps_after_answer"}
_INTERNAL |= {"sign_in", "connect", "disconnect", "receive", "apply", "perform", "notify", "notify_of_read"}
_INTERNAL |= {"phone_at", "restart_clock", "close", "set_clock", "time", "pace"}


def offhook_page() -> str:
    """Return the page of Offhook."""
    classes = (TwilioSandbox, CallHandle, Phone, ConferenceHandle, Faults, RequestLog, PhoneScript, Behavior, Sandbox)
    names = ("twilio_sandbox", "twilio_client", "serve", "twilio_sandbox_options")
    return _page(_OFFHOOKS, (pytest_plugin, names), classes)


def testing_page() -> str:
    """Return the page of Conferral."""
    classes = (ConferralStack, Desk, DeliveredOutcomes, DeliveredOutcome)
    return _page(_CONFERRALS, (conferral_plugin, ("conferral_stack", "conferral_stack_settings")), classes)


def _page(introduction: str, fixtures: Fixtures, classes: Iterable[type]) -> str:
    module, names = fixtures
    lines = [introduction, "## Fixtures", "", "| Fixture | |", "| --- | --- |"]
    lines += [f"| `{name}` | {_summary(getattr(module, name).__wrapped__)} |" for name in names]
    for one in classes:
        lines += ["", f"## {one.__name__}", "", _summary(one), "", "| Member | |", "| --- | --- |"]
        lines += [f"| `{shown}` | {meaning} |" for shown, meaning in _members(one)]
    return "\n".join(lines) + "\n"


def _summary(documented: object) -> str:
    text = inspect.getdoc(documented) or ""
    return text.partition("\n")[0].replace("|", "\\|")


def _members(one: type) -> list[tuple[str, str]]:
    notes: dict[str, str] = {}
    for base in one.__mro__[:-1]:
        notes |= inline_notes_of(Path(inspect.getsourcefile(base) or ""), base.__name__)
    of_fields = [it.name for it in fields(one)] if is_dataclass(one) else []
    others = [name for name in notes if name not in of_fields and not hasattr(one, name)]
    found = [(name, notes.get(name, "")) for name in [*of_fields, *others]]
    members = {name: member for base in reversed(one.__mro__[:-1]) for name, member in vars(base).items()}
    for name, member in members.items():
        if isinstance(member, property):
            found.append((name, _summary(member)))
        elif inspect.isfunction(member) and name == member.__name__:
            found.append((f"{name}({_parameters(member)})", _summary(member)))
        elif inspect.isfunction(member):
            found.append((name, f"the same as `{member.__name__}`"))
    return [
        (shown, text) for shown, text in found if not shown.startswith("_") and shown.partition("(")[0] not in _INTERNAL
    ]


def _parameters(function: object) -> str:
    signature = inspect.signature(function)  # type: ignore[arg-type]
    plain = [
        it.replace(annotation=inspect.Parameter.empty) for it in signature.parameters.values() if it.name != "self"
    ]
    text = str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty))[1:-1]
    return re.sub(r"mappingproxy\(\{\}\)", "{}", text).replace("|", "\\|")
