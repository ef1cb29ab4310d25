"""Where each setting comes from, never what it says; and names that look like settings but are none."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic_settings import DotEnvSettingsSource

from conferral.checks.line import Line, ok, warn
from conferral.running import SandboxSettings
from runtime.settings import ConsoleSettings, ServiceSettings

#: Read in the working directory, as by every process.
ENV_FILE = Path(".env")
_KINDS = (ServiceSettings, ConsoleSettings, SandboxSettings)
_KNOWN = frozenset(str(field.validation_alias) for kind in _KINDS for field in kind.model_fields.values())


def check_sources() -> list[Line]:
    """Lines about the environment and `.env`."""
    # Names are read whatever their case; an empty value counts as none.
    environment = _given(os.environ)
    file = _given(DotEnvSettingsSource(ServiceSettings, env_file=ENV_FILE, env_file_encoding="utf-8").env_vars)
    both = sorted(environment.keys() & file.keys() & _KNOWN)
    places = {"environment": environment.keys() & _KNOWN, ".env": file.keys() & _KNOWN - environment.keys()}
    told = [f"{place}: {', '.join(sorted(names))}" for place, names in places.items() if names]
    lines = [ok("sources", "; ".join([*told, "all others by default"]))]
    if overruled := [name for name in both if environment[name] != file[name]]:
        found = f"{', '.join(overruled)}: .env says something else than the environment, which counts"
        lines.append(warn("overruled", found, "take one of the two away"))
    odd = sorted(name for name in environment.keys() | file.keys() if name.startswith("CONFERRAL_"))
    if unknown := [name for name in odd if name not in _KNOWN]:
        found = f"{', '.join(unknown)}: no setting of this version has this name"
        lines.append(warn("unknown", found, "correct it, or take it away; docs/reference/settings.md has all names"))
    return lines


def _given(variables: Mapping[str, str | None]) -> dict[str, str]:
    return {name.upper(): value for name, value in variables.items() if value}
