"""Webhook rules: how the account's requests to a URL are signed and sent.

Source: Twilio docs, "Configure webhook rules", "Configure webhook settings", "Sign webhooks with shared keys".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

from offhook.model.formats import check_url

#: Of a rule whose setting has a connection part: to connect, and to read.
CONNECTION_MS = 15_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSetting:
    """How requests are sent; by default, as without any rule."""

    key_id: str = ""  #: The shared key that signs; empty for the auth token.
    secret: str = ""  #: The key's.
    algorithm: Literal["HMAC_SHA1", "HMAC_SHA256"] = "HMAC_SHA256"
    retries: int | None = None  #: Of any failure; replaces the URL's own overrides. None keeps these.
    auth_scheme: str = ""  #: Of credentials, such as `BASIC`. They are listed, but not sent.
    percentage: int = 100  #: Its share of the rule's requests.

    @property
    def id(self) -> str:
        """Its id, which depends on nothing but its content."""
        return f"webhooks_setting_{uuid5(NAMESPACE_URL, repr(self)).hex[:26]}"

    def resource(self) -> dict[str, Any]:
        """Return it as Twilio's API does, without its secrets."""
        auth = {"source": "INLINE", "value": {"scheme": self.auth_scheme}} if self.auth_scheme else None
        signature = {"type": "SHARED_KEY", "sharedKeyId": self.key_id, "algorithm": self.algorithm}
        retry_policy = {"retryCount": self.retries, "retryOn": ["ALL"]}
        timeouts = {"connectTimeoutMs": CONNECTION_MS, "readTimeoutMs": CONNECTION_MS}
        return {
            "id": self.id,
            "type": "CUSTOMER",
            "auth": auth,
            "signature": signature if self.key_id else None,
            "connection": None if self.retries is None else {**timeouts, "retryPolicy": retry_policy},
        }


@dataclass(frozen=True, slots=True)
class WebhookRule:
    """Which settings apply to a URL, to those below it, or to all others."""

    url: str  #: With a slash at its end, a prefix; empty for the default rule.
    settings: tuple[WebhookSetting, ...]

    def applies_to(self, url: str) -> bool:
        """Whether it matches a URL, without regard to other rules."""
        return url.startswith(self.url) if self.url.endswith("/") or not self.url else url == self.url

    def resource(self) -> dict[str, Any]:
        """Return it as Twilio's API does."""
        kind, place = ("PREFIX_MATCH", "prefix") if self.url.endswith("/") else ("EXACT_MATCH", "value")
        match = {"matchType": kind, place: self.url} if self.url else {"matchType": "DEFAULT"}
        settings = [{"settingId": it.id, "percentage": it.percentage} for it in self.settings]
        return {"id": f"webhooks_rule_{uuid5(NAMESPACE_URL, self.url).hex[:26]}", **match, "settings": settings}


#: What applies without a rule.
NO_SETTING = WebhookSetting()


class WebhookRules:
    """The account's rules."""

    def __init__(self) -> None:
        self._rules: dict[str, WebhookRule] = {}

    def put(self, url: str = "", settings: Sequence[WebhookSetting] = ()) -> None:
        """Set the rule of a URL; without settings, remove it.

        The URL is a prefix if it ends with a slash, or empty for the default rule. Two settings share its requests.
        """
        check_url("url", url)
        if settings and (len(settings) > 2 or sum(it.percentage for it in settings) != 100):
            raise ValueError("a rule has one setting, or two whose percentages sum to 100")
        self._rules.pop(url, None)
        if settings:
            self._rules[url] = WebhookRule(url, tuple(settings))

    def clear(self) -> None:
        """Remove all rules."""
        self._rules.clear()

    def setting_for(self, url: str, number: int) -> WebhookSetting:
        """Return what applies to the request of this number to a URL.

        An exact match comes before a prefix, a longer prefix before a shorter, and the default rule last.
        """
        matching = [rule for rule in self._rules.values() if rule.applies_to(url)]
        if not matching:
            return NO_SETTING
        rule = max(matching, key=lambda it: (it.url == url, len(it.url)))
        # The factor has no divisor in common with 100, so any hundred requests in a row are split exactly.
        return rule.settings[0 if number * 37 % 100 < rule.settings[0].percentage else -1]

    def list_page(self, kind: str) -> dict[str, Any]:
        """Return the page of Twilio's API that lists `rules` or `settings`."""
        settings = {it.id: it for rule in self._rules.values() for it in rule.settings}
        listed = self._rules if kind == "rules" else settings
        return {kind: [it.resource() for it in listed.values()], "meta": {"key": kind, "pageSize": 100}}
