"""Refuse to build from a copy of the source without its symbolic links.

`python -m zipfile`, or Git without support for links, writes a link as a file that holds its target. A package built
from that lacks modules. pyproject.toml has all else.
"""

import sys
from pathlib import Path

from setuptools import setup

LINKS = ("conferral/statemachine", "conferral/tools.json", "conferral/webhooks", "conferral/worker")
HERE = Path(__file__).parent

if lost := [name for name in LINKS if (HERE / name).is_file() and (HERE / name).read_bytes().startswith(b"../")]:
    sys.exit(f"this copy of the source lost its symbolic links ({', '.join(lost)}): unpack it with unzip, or clone it")
setup()
