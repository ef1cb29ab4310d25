"""A local Twilio: REST API, TwiML, signed callbacks, phones with scripted behaviour, and faults on demand."""

from sandbox.exchange import NobodyToTellError, Rules, UnknownNumberError
from sandbox.faults import Faults
from sandbox.handles import SandboxCall
from sandbox.keeping import Keeps
from sandbox.moments import RestMoment
from sandbox.phones import Phone, PhoneScript
from sandbox.server import make_app
from sandbox.service import Sandbox
from sandbox.switchboard import ACCOUNT_SID, AUTH_TOKEN

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
