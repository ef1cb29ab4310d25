"""Moments of a REST request at which a test may step in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from conferral.sandbox.model import Params, RestAnswer


@dataclass(frozen=True, slots=True)
class RestHookEvent:
    """A REST request at one of its steps: about to take effect, or just having done so."""

    step: Literal["before", "after"]
    method: str
    path: str
    params: Params
    answer: RestAnswer | None = None
