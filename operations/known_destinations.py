"""Destinations in use, as suggestions for forms that can't read the directory."""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice

from conferral.operations import wording
from conferral.statemachine.session import CUSTOMER
from conferral.storage.codecs.session_view import SessionView

#: Maximum number of suggestions: no one reads a longer list.
SUGGESTED_MAX = 20
#: Addresses of agents and targets that can be typed. Others aren't offered, nor those with a comma, which separates
#: destinations.
_TYPEABLE_ADDRESS = re.compile(r"(?:client:|sip:|\+)[!-+\--~]{1,250}")


def addresses_in_use(sessions: Iterable[SessionView], *, full: bool = False) -> list[str]:
    """Return the addresses of agents, targets, and the like, most frequent first.

    Args:
        full: Whether to show full phone numbers; otherwise, numbers are left out.
    """
    found: Counter[str] = Counter()
    for session in sessions:
        # A party that appears twice in a session counts once.
        found.update({party.address for name, party in session.parties.items() if name != CUSTOMER})
    # Order ties the same way every time, because a page receives every change.
    ordered = sorted(found, key=lambda address: (-found[address], address))
    shown = (
        one for one in ordered if _TYPEABLE_ADDRESS.fullmatch(one) and wording.display_address(one, full=full) == one
    )
    return list(islice(shown, SUGGESTED_MAX))
