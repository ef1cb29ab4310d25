"""Parse and validate REST forms (Twilio docs: Error Dictionary)."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from offhook.model.formats import is_url
from offhook.model.messages import Params, RestAnswer
from offhook.model.numbers import Subscription
from offhook.model.transaction import Transaction

DAY_S = 86_400


class RestError(Exception):
    """The request is rejected; the client should not repeat it unchanged."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class NotFoundError(Exception):
    """The resource that a request names doesn't exist, or isn't modeled."""

    def __init__(self, *, is_modeled: bool = True) -> None:
        super().__init__()
        self.is_modeled = is_modeled


FIDELITY = "https://github.com/conferral/conferral/blob/main/sandbox/docs/fidelity.md"


def method_not_allowed(method: str) -> RestError:
    """Return Twilio's error for a method that a resource doesn't have."""
    return RestError(405, 20004, f"Method not allowed: {method}")


def error_answer(status: int, code: int, message: str, more_info: str = "") -> RestAnswer:
    """Return an error in Twilio's format."""
    body: dict[str, Any] = {
        "code": code,
        "message": message,
        "more_info": more_info or f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return RestAnswer(status, body)


def not_found_answer(path: str, not_modeled: str = "") -> RestAnswer:
    """Return Twilio's error for a whole path; `not_modeled` says what lacks."""
    reason, more_info = (f": {not_modeled}", FIDELITY) if not_modeled else ("", "")
    return error_answer(404, 20404, f"The requested resource {path} was not found{reason}", more_info)


class Form:
    """The parameters of one request."""

    def __init__(self, params: Params) -> None:
        self._params = params

    def all(self, name: str) -> tuple[str, ...]:
        """Return all values of a repeated field."""
        return tuple(value for key, value in self._params if key == name)

    def get(self, name: str, default: str = "") -> str:
        """Return the last value of a field."""
        values = self.all(name)
        return values[-1] if values else default

    def has(self, name: str) -> bool:
        """Whether the field was sent, even if empty."""
        return bool(self.all(name))

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a boolean; a sent value other than `true` counts as false."""
        return self.get(name).lower() == "true" if self.has(name) else default

    def optional_flag(self, name: str) -> bool | None:
        """Return a boolean, or None if the field wasn't sent."""
        return self.flag(name, default=False) if self.has(name) else None

    def method(self, name: str, default: str = "POST") -> str:
        """Return the HTTP method in a field: GET or POST."""
        value = self.get(name, default).upper()
        if value not in {"GET", "POST"}:
            raise RestError(400, 20001, f"{name} must be GET or POST")
        return value

    def url(self, name: str, code: int = 21205) -> str:
        """Return a URL, empty if it wasn't sent; reject an invalid one."""
        value = self.get(name)
        if value and not is_url(value):
            raise RestError(400, code, f"{name} is not a valid URL: {value}")
        return value

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str:
        """Return an allowed word, the first one if the field wasn't sent."""
        word = self.get(name, allowed[0])
        if word not in allowed:
            raise RestError(400, 20001, f"{name} must be one of {', '.join(allowed)}")
        return word

    def integer(self, name: str, default: int, minimum: int, maximum: int) -> int:
        """Return the field's integer; reject one out of bounds."""
        text = self.get(name, str(default))
        if not re.fullmatch(r"[0-9]{1,9}", text) or not minimum <= int(text) <= maximum:
            raise RestError(400, 20001, f"{name} must be a whole number from {minimum} to {maximum}")
        return int(text)

    def period(self, name: str) -> Callable[[float | None], bool]:
        """Return whether a time meets the filters `name`, `name<`, and `name>`.

        A date means its midnight, but `name` the whole day, even of a time. Source: Twilio docs, Recordings resource.
        """
        on_s, before_s, after_s = (self._time_s(f"{name}{sign}") for sign in ("", "<", ">"))
        is_any = on_s is None and before_s is None and after_s is None

        def holds(at_s: float | None) -> bool:
            if at_s is None:
                return is_any
            shown_s = int(at_s)  # resources show no fractions
            is_on = on_s is None or on_s // DAY_S == shown_s // DAY_S
            return is_on and (before_s is None or shown_s <= before_s) and (after_s is None or shown_s >= after_s)

        return holds

    def _time_s(self, name: str) -> float | None:
        """Return a date's or a time's seconds since 1970; None if not sent."""
        text = self.get(name)
        try:
            found = datetime.fromisoformat(text) if text else None
        except ValueError:
            raise RestError(400, 20001, f"{name} must be a date or a time, such as 2026-11-30T08:00:00Z") from None
        return None if found is None else (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()

    def subscription(
        self, transaction: Transaction, prefix: str, allowed: Iterable[str], default: tuple[str, ...], *, lenient: bool
    ) -> Subscription | None:
        """Return the subscription in `{prefix}` and its `Method` and `Event`.

        TwiML's documentation suggests several events in one field, separated by spaces, which is wrong here: with
        `lenient` they are accepted (participants); otherwise, the whole subscription is dropped with warning 21626.
        """
        url = self.url(prefix, 21609)
        if not url:
            return None
        events = self.all(f"{prefix}Event") or default
        if lenient:
            events = tuple(word for value in events for word in value.split())
        if any(event not in allowed for event in events):
            transaction.add_debugger_entry(21626, f"Invalid {prefix}Event: no events will be sent", url=url)
            return None
        return Subscription(url, self.method(f"{prefix}Method"), events)
