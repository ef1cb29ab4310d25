"""Identities: the names of browsers and apps, as Twilio dials them."""

import re

from conferral.runtime.limits import IDENTITY, IDENTITY_MAX


def identity_problem(text: str) -> str:
    """Return what is wrong with an identity, without it; empty for nothing.

    >>> identity_problem("alice_2"), identity_problem("alice@crm")
    ('', "must be 1 to 121 letters, digits, or _, since Twilio dials no others; this one has '@'")
    """
    if re.fullmatch(IDENTITY, text):
        return ""
    other = re.search("[^A-Za-z0-9_]", text)
    which = f"has {other[0]!a}" if other else "is longer" if text else "is empty"
    return f"must be 1 to {IDENTITY_MAX} letters, digits, or _, since Twilio dials no others; this one {which}"
