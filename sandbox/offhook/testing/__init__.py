"""What tests have: a sandbox in a thread, and its phones."""

from offhook.testing.app_server import Serve as Serve
from offhook.testing.phone import Phone as Phone
from offhook.testing.twilio_sandbox import ConditionTimeoutError as ConditionTimeoutError
from offhook.testing.twilio_sandbox import TwilioSandbox as TwilioSandbox
