"""Context of a request: its label, whether it may leave, who sees it.

Callers set it around a call of the library, which passes nothing on; the HTTP client under the library reads it.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TypeVar

from conferral.runtime.errors import ProviderUnreachableError

_T = TypeVar("_T")

_label: ContextVar[str] = ContextVar("request_label", default="other")
_send_allowed: ContextVar[Callable[[], bool]] = ContextVar("send_allowed", default=lambda: True)
#: Codes not counted as failures, besides those for missing resources; None if all count.
_expected_codes: ContextVar[frozenset[int] | None] = ContextVar("expected_codes", default=None)
#: Whether observers see the answer.
_is_observed: ContextVar[bool] = ContextVar("is_observed", default=True)


@contextmanager
def _set(variable: ContextVar[_T], value: _T) -> Iterator[None]:
    before = variable.get()
    variable.set(value)
    try:
        yield
    finally:
        # Not by a token: an abandoned request may be closed in another context.
        variable.set(before)


def send_guard(is_allowed: Callable[[], bool]) -> AbstractContextManager[None]:
    """Send only while `is_allowed()`; else raise ProviderUnreachableError.

    Connecting takes time, and the process may be paused meanwhile, so the permission to send (the lease) may be gone.
    """
    return _set(_send_allowed, is_allowed)


class SendCancelledError(ProviderUnreachableError):
    """The request is no longer allowed; this says nothing about Twilio."""


def check_send_allowed() -> None:
    """Raise ProviderUnreachableError unless the request is still allowed."""
    if not is_send_allowed():
        raise SendCancelledError


def label_requests(kind: str) -> AbstractContextManager[None]:
    """Label the requests made inside, for metrics and the log."""
    return _set(_label, kind)


def request_label() -> str:
    """Return the label of requests that begin now."""
    return _label.get()


def unobserved() -> AbstractContextManager[None]:
    """Hide answers from observers: a key may lack only this permission."""
    return _set(_is_observed, False)


def ignore_not_found(*, also: frozenset[int] = frozenset()) -> AbstractContextManager[None]:
    """Don't count "not found" and codes in `also` as failures; raise them.

    For a request that ends something, it is the desired state; for a read, the answer.
    """
    return _set(_expected_codes, also)


def is_observed() -> bool:
    """Whether observers see the answer."""
    return _is_observed.get()


def is_expected(code: int, *, is_gone: bool) -> bool:
    """Whether a request expects an error with this code, or of what is gone."""
    codes = _expected_codes.get()
    return codes is not None and (code in codes or is_gone)


def is_send_allowed() -> bool:
    """Whether the request is still allowed."""
    return _send_allowed.get()()
