"""Sandbox: a local Twilio with scripted phones and fault injection."""

from offhook.faults import Faults
from offhook.model.behavior import Behavior
from offhook.model.twilio_model import UnknownNumberError
from offhook.phones import CallHandle, Phone, PhoneScript
from offhook.request_log import Retention
from offhook.runtime import ACCOUNT_SID, AUTH_TOKEN, RestHookEvent
from offhook.service import Sandbox, make_app

__all__ = [
    "ACCOUNT_SID",
    "AUTH_TOKEN",
    "Behavior",
    "CallHandle",
    "Faults",
    "Phone",
    "PhoneScript",
    "RestHookEvent",
    "Retention",
    "Sandbox",
    "UnknownNumberError",
    "make_app",
]
