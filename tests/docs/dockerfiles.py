"""What a Dockerfile does, line by line; also for `scripts/release_check.py`."""

from tests.docs.generated import ROOT


def instructions(dockerfile: str) -> list[tuple[str, ...]]:
    """A Dockerfile's instructions in order: name and the rest, continued lines joined."""
    lines = [line for line in (ROOT / dockerfile).read_text("utf-8").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def rest_of(instruction: str, dockerfile: str = "Dockerfile") -> list[str]:
    """What follows each instruction of this name."""
    return [rest for name, rest in instructions(dockerfile) if name == instruction]


def copied_from_the_tree(dockerfile: str = "Dockerfile") -> list[str]:
    """The files and folders of this repository that go into the image."""
    return [source for rest in rest_of("COPY", dockerfile) if "--from=" not in rest for source in rest.split()[:-1]]
