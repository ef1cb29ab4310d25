"""Where each setting comes from, never what it says; and names that look like settings but are none."""

from conferral.checks.line import Line, ok, warn
from conferral.running import SandboxSettings
from runtime.settings import ConsoleSettings, ServiceSettings, given_names

_KINDS = (ServiceSettings, ConsoleSettings, SandboxSettings)
_KNOWN = frozenset(str(field.validation_alias) for kind in _KINDS for field in kind.model_fields.values())


def check_sources() -> list[Line]:
    """Lines about the environment and `.env`."""
    environment, file = given_names()
    both = sorted(environment.keys() & file.keys() & _KNOWN)
    places = {"environment": environment.keys() & _KNOWN, ".env": file.keys() & _KNOWN - environment.keys()}
    told = [f"{place}: {', '.join(sorted(names))}" for place, names in places.items() if names]
    lines = [ok("sources", "; ".join([*told, "all others by default"]))]
    if overruled := [name for name in both if environment[name] != file[name]]:
        found = f"{', '.join(overruled)}: .env says something else than the environment, which counts"
        lines.append(warn("overruled", found, "take one of the two away"))
    ours = (name for name in environment.keys() | file.keys() if name.startswith("CONFERRAL_"))
    odd = sorted(name for name in ours if not name.startswith("CONFERRAL_TEST_"))  # of the tests of Conferral itself
    if unknown := [name for name in odd if name not in _KNOWN]:
        found = f"{', '.join(unknown)}: no setting of this version has this name"
        lines.append(warn("unknown", found, "correct it, or take it away; docs/reference/settings.md has all names"))
    return lines
