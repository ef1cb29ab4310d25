"""What tests have: a sandbox in a thread, and its calls and phones."""

from offhook.testing.twilio_sandbox import ConditionTimeoutError as ConditionTimeoutError
from offhook.testing.twilio_sandbox import TwilioSandbox as TwilioSandbox
from offhook.testing.views import Call as Call
from offhook.testing.views import Conference as Conference
from offhook.testing.views import Phone as Phone
