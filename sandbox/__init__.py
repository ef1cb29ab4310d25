"""A local Twilio: REST API, TwiML, signed callbacks, phones with scripted behaviour, and faults on demand."""

from conferral.sandbox.exchange import NobodyToTellError, Rules, UnknownNumberError
from conferral.sandbox.faults import Faults
from conferral.sandbox.handles import SandboxCall
from conferral.sandbox.keeping import Keeps
from conferral.sandbox.moments import RestMoment
from conferral.sandbox.phones import Phone, PhoneScript
from conferral.sandbox.server import make_app
from conferral.sandbox.service import Sandbox
from conferral.sandbox.switchboard import ACCOUNT_SID, AUTH_TOKEN

__all__ = [
    "ACCOUNT_SID",
    "AUTH_TOKEN",
    "Faults",
    "Keeps",
    "NobodyToTellError",
    "Phone",
    "PhoneScript",
    "RestMoment",
    "Rules",
    "Sandbox",
    "SandboxCall",
    "UnknownNumberError",
    "make_app",
]
