"""Report where each setting comes from, never its value, and names that look like settings but aren't."""

from conferral.check.result import CheckResult, ok, warn
from conferral.processes.settings import KNOWN_SETTINGS
from conferral.runtime.settings import read_sources
from conferral.setting_names import unknown_settings


def check_sources() -> list[CheckResult]:
    """Check the environment and `.env`."""
    environment, file = read_sources()
    both = sorted(environment.keys() & file.keys() & KNOWN_SETTINGS)
    places = {
        "environment": environment.keys() & KNOWN_SETTINGS,
        ".env": file.keys() & KNOWN_SETTINGS - environment.keys(),
    }
    sources = [f"{place}: {', '.join(sorted(names))}" for place, names in places.items() if names]
    lines = [ok("sources", "; ".join([*sources, "all others: default"]))]
    if overridden := [name for name in both if environment[name] != file[name]]:
        found = f"{', '.join(overridden)}: set differently in .env; the environment wins"
        lines.append(warn("overridden", found, "remove one of the two"))
    if unknown := unknown_settings(KNOWN_SETTINGS):
        named = ", ".join(f"{name} (did you mean {nearest}?)" if nearest else name for name, nearest in unknown.items())
        found = f"{named}: not a setting of this version"
        lines.append(warn("unknown", found, "correct or remove it; docs/reference/settings.md lists all settings"))
    return lines
