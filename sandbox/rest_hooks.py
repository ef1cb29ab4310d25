"""Hooks with which tests intercept a REST request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from conferral.sandbox.model import Params, RestAnswer


@dataclass(frozen=True, slots=True)
class RestHookEvent:
    """A REST request at one of its steps: about to take effect, or right after it."""

    step: Literal["before", "after"]
    method: str
    path: str
    params: Params
    answer: RestAnswer | None = None
