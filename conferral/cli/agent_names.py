"""What the directory calls agents at desks."""

from collections.abc import Mapping

from conferral.cli import output
from conferral.operations.explain.naming import with_names
from conferral.runtime.errors import SettingsError
from conferral.runtime.settings import DirectorySettings, load
from conferral.statemachine.session import Session
from conferral.telephony.directory.file import read_people


def agent_names() -> Mapping[str, str]:
    """Return the names by address; none, with a note, if the file is broken."""
    path = load(DirectorySettings).directory
    try:
        return read_people(path) if path else {}
    except SettingsError as error:
        output.print_note(f"agents have no names: {error}")
        return {}


def with_agent_names(session: Session) -> Session:
    """Return a session to be printed, in which agents have their names."""
    return with_names(session, agent_names())
