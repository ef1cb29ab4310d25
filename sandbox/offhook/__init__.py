"""Offhook: a local Twilio for voice, with scripted phones and faults.

Imports are lazy, so that the command starts quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offhook.account import ACCOUNT_SID as ACCOUNT_SID
    from offhook.account import AUTH_TOKEN as AUTH_TOKEN
    from offhook.account import NUMBER as NUMBER
    from offhook.call_handle import CallHandle as CallHandle
    from offhook.call_handle import ConferenceHandle as ConferenceHandle
    from offhook.faults import Faults as Faults
    from offhook.model.behavior import Behavior as Behavior
    from offhook.model.messages import Alert as Alert
    from offhook.model.twilio_model import UnknownNumberError as UnknownNumberError
    from offhook.phones import Phone as Phone
    from offhook.phones import PhoneScript as PhoneScript
    from offhook.request_log import Retention as Retention
    from offhook.runtime import RestHookEvent as RestHookEvent
    from offhook.service import Sandbox as Sandbox
    from offhook.service import make_app as make_app
    from offhook.webhook_rules import WebhookSetting as WebhookSetting

_MODULES = {
    name: module
    for module, names in {
        "offhook.account": "ACCOUNT_SID AUTH_TOKEN NUMBER",
        "offhook.call_handle": "CallHandle ConferenceHandle",
        "offhook.faults": "Faults",
        "offhook.model.behavior": "Behavior",
        "offhook.model.messages": "Alert",
        "offhook.model.twilio_model": "UnknownNumberError",
        "offhook.phones": "Phone PhoneScript",
        "offhook.request_log": "Retention",
        "offhook.runtime": "RestHookEvent",
        "offhook.service": "Sandbox make_app",
        "offhook.webhook_rules": "WebhookSetting",
    }.items()
    for name in names.split()
}

if not TYPE_CHECKING:  # type checkers can't evaluate it; they read the imports above
    __all__ = tuple(sorted(_MODULES))


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
