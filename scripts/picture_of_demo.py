"""Generate docs/demo.svg from `conferral demo --exit`.

The picture loads no fonts or other files; its text can be selected and read aloud.
"""

import io
import re
import subprocess
import sys
from pathlib import Path

from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "demo.svg"
COMMAND = "conferral demo --exit"
WIDTH = 120
DEADLINE_S = 120

_TITLE = "<title>What the demo prints: a call is bridged, and handed over after a consult; a worker is killed</title>"
#: Rich's own format without its web fonts, and with a name for screen readers.
FORMAT = re.sub(r"<!--.*?-->|@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
    'xmlns="http://www.w3.org/2000/svg">', f'xmlns="http://www.w3.org/2000/svg" role="img">{_TITLE}'
)


def printed() -> str:
    """Return the demo's output; raise RuntimeError if it fails."""
    program = Path(sys.executable).parent / "conferral"
    ran = subprocess.run(
        [program, *COMMAND.split()[1:]], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    return ran.stdout


def picture(text: str) -> str:
    """Render the text as a terminal in SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), color_system="truecolor", force_terminal=True)
    console.print(Text.assemble(("$ ", "dim"), (COMMAND, "bold")))
    for line in text.rstrip("\n").splitlines():
        shown = Text(line)
        if not line.startswith(" "):  # an action; the other lines are its results
            shown.stylize("bold")
        shown.highlight_regex(r"\[[a-z, -]+\]$", "bold green")
        shown.highlight_regex(r"^ *\+[0-9.]+ s", "cyan")
        console.print(shown)
    drawn = console.export_svg(title="conferral", theme=MONOKAI, code_format=FORMAT, unique_id="demo")
    return "\n".join(line.rstrip() for line in drawn.splitlines()) + "\n"


def main() -> int:
    """Run the demo, and write the picture."""
    PICTURE.write_text(picture(printed()), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
