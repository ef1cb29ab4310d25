"""The skill for assistants: its commands run as written, on a clone of this repository."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conferral.cli_helpers import process_variables, until
from tests.conferral.demo.test_demo import folders, processes_of
from tests.docs.generated import ROOT
from tests.docs.markdown_files import blocks

SKILL = ROOT / "examples" / "skill" / "SKILL.md"
__all__ = ("folders",)
#: The environment of this test is that of the clone, and older than none of its locks: nothing is fetched.
PREPARE = f"ln -s {sys.prefix} .venv && touch -d @1 *.toml *.lock sandbox/*.toml scripts/bundled_redis.py"
#: Of a script that failed, too, nothing is left.
CLEAN_UP = "trap 'kill $(cat demo.pid) 2>/dev/null || true; wait' EXIT"


def test_the_head_says_what_the_skill_is_for():
    """Source: agentskills.io, "Specification"."""
    head = yaml.safe_load(SKILL.read_text("utf-8").split("---\n")[1])
    assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", head["name"])
    assert head["name"] == "conferral"
    assert 0 < len(head["description"]) <= 1024
    assert len(head["compatibility"]) <= 500


@pytest.mark.soak
@pytest.mark.redis
@pytest.mark.processes
def test_its_commands_run_as_written(folders, tmp_path):
    if not (Path(sys.prefix) / "runtime.done").exists():
        pytest.skip("make has not made this environment, and would fetch another")
    typed = "".join(blocks(SKILL, "sh"))
    assert typed.count("cd conferral\n") == 1
    script = typed.replace("cd conferral\n", f"cd conferral\n{PREPARE}\n{CLEAN_UP}\n")
    cloned = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_VALUE_0": "https://github.com/conferral/conferral"}
    cloned |= {"GIT_CONFIG_KEY_0": f"url.{ROOT}.insteadOf", "TMPDIR": str(folders)}
    ran = subprocess.run(
        ["bash", "-e"], input=script, cwd=tmp_path, env=process_variables() | cloned, capture_output=True, text=True,
        check=False,
    )  # fmt: skip

    log = tmp_path / "conferral" / "demo.log"
    assert ran.returncode == 0, ran.stderr + (log.read_text() if log.exists() else "")
    until(lambda: not processes_of(folders), "something is left behind")
    found = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith('{"') and '"kind":' in line]
    assert [(one["kind"], one["result"], one["to"]) for one in found] == [
        ("transfer", "completed", "client:bob"),
        ("session", "ended", None),
    ]
    assert '"status":"done"' in ran.stdout.replace(" ", "")
    assert re.search(r'"from": ?"\+12025550123"', ran.stdout), "the sandbox lists the call that was placed"
