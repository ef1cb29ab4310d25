"""Find names in the environment and in `.env` that look like settings but aren't."""

from collections.abc import Collection
from difflib import get_close_matches

from conferral.runtime.settings import read_sources

_OURS = "CONFERRAL_"
#: Settings of Conferral's own tests.
_TESTS = "CONFERRAL_TEST_"


def unknown_settings(known: Collection[str]) -> dict[str, str]:
    """Return the names that match no setting, each with the most similar setting; empty text for none.

    Args:
        known: The names of all settings of this version.
    """
    environment, file = read_sources()
    ours = (name for name in environment.keys() | file.keys() if name.startswith(_OURS))
    unknown = sorted(name for name in ours if name not in known and not name.startswith(_TESTS))
    return {name: next(iter(get_close_matches(name, sorted(known), n=1, cutoff=0.8)), "") for name in unknown}
