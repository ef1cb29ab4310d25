"""The sandbox in real time, as its phones and its webhooks see it."""

from typing import Protocol

from offhook.faults import Faults
from offhook.model import messages
from offhook.model.twilio_model import TwilioModel
from offhook.pace import Pace
from offhook.request_log import RequestLog
from offhook.twilio_time import TwilioTime
from offhook.url_map import UrlMap
from offhook.webhook_rules import WebhookRules


class RealTimeModel(Protocol):
    """A model that runs: inputs are applied, and its outputs performed."""

    auth_token: str
    speed: float
    allow_internet: bool
    faults: Faults
    model: TwilioModel
    time: TwilioTime
    pace: Pace
    request_log: RequestLog
    webhook_rules: WebhookRules
    url_map: UrlMap

    @property
    def now_s(self) -> float:
        """The sandbox's time, seconds since 1970."""

    def apply(self, input_: messages.Input) -> messages.Result:
        """Pass an input to the model, and perform its outputs."""

    def perform(self, output: messages.Output) -> None:
        """Perform one of the model's outputs."""

    def notify(self) -> None:
        """Wake up all who wait for a change."""
