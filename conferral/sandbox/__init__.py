"""Sandbox: a local Twilio with scripted phones and fault injection."""

from conferral.sandbox.call_handle import CallHandle
from conferral.sandbox.faults import Faults
from conferral.sandbox.model.behavior import Behavior
from conferral.sandbox.model.twilio_model import UnknownNumberError
from conferral.sandbox.model.unknown_callbacks import NoSubscriberError
from conferral.sandbox.phones import Phone, PhoneScript
from conferral.sandbox.retention import Retention
from conferral.sandbox.runtime import ACCOUNT_SID, AUTH_TOKEN, RestHookEvent
from conferral.sandbox.service import Sandbox, make_app

__all__ = [
    "ACCOUNT_SID",
    "AUTH_TOKEN",
    "Behavior",
    "CallHandle",
    "Faults",
    "NoSubscriberError",
    "Phone",
    "PhoneScript",
    "RestHookEvent",
    "Retention",
    "Sandbox",
    "UnknownNumberError",
    "make_app",
]
