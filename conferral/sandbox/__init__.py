"""Sandbox: a local Twilio with scripted phones and fault injection."""

from conferral.sandbox.faults import Faults
from conferral.sandbox.model.behavior import Behavior
from conferral.sandbox.model.twilio_model import UnknownNumberError
from conferral.sandbox.phones import CallHandle, Phone, PhoneScript
from conferral.sandbox.request_log import Retention
from conferral.sandbox.runtime import ACCOUNT_SID, AUTH_TOKEN, RestHookEvent
from conferral.sandbox.service import Sandbox, make_app

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
