"""Build the documentation as a site: `make site`.

The pages are those of the repository, with the same links between them. Links to any other file lead to the repository
at the tag of this version, or at `SITE_REF`. Diagrams are drawn by Mermaid, whose file comes from npm by its hash.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
#: Markdown outside docs/ that becomes pages, too.
OTHERS = (
    "README.md",
    "AGENTS.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "examples/skill/SKILL.md",
    "sandbox/CHANGELOG.md",
    "sandbox/README.md",
    "sandbox/docs/fidelity.md",
    "tests/README.md",
)
REPOSITORY = "https://github.com/conferral/conferral"
#: Where pages that package indexes show have their pictures; the site has them itself.
PICTURES = "https://raw.githubusercontent.com/conferral/conferral/main/"
#: Of the package as the npm registry serves it; renew both together.
MERMAID = "mermaid@11.12.0"
MERMAID_INTEGRITY = "sha512-ZudVx73BwrMJfCFmSSJT84y6u5brEoV8DOItdHomNLz32uBjNrelm7mg95X7g+C6UoQH/W6mBLGDEDv73JdxBg=="
_FENCE = re.compile(r"^( *)(```+)")
_LINK = re.compile(r"(\]\()([^)\s#]+)|(\b(?:src|srcset|href)=\")([^\"#]+)")
_ROW = re.compile(r"^\| (?!---)(.+) \| (.+) \|$", re.MULTILINE)
_TO_PAGE = re.compile(r"\[([^\]]+)\]\(([^)#]+\.md)\)")


def main() -> int:
    """Write the site into build/site; return the exit code of the generator, which checks the links."""
    build = ROOT / "build"
    source, site = build / "site-source", build / "site"
    shutil.rmtree(source, ignore_errors=True)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    files = tracked_files()
    for name in files:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".md"):
            text = (ROOT / name).read_text("utf-8")
            (source / name).write_text(page(text, name, {*files}, os.environ.get("SITE_REF", f"v{version}")), "utf-8")
        else:
            shutil.copy(ROOT / name, source / name)
    vendored = source / "vendor" / "mermaid.min.js"
    vendored.parent.mkdir()
    vendored.write_bytes(mermaid())
    settings = {
        "INHERIT": str(ROOT / "scripts" / "site" / "mkdocs.yml"),
        "theme": {"custom_dir": str(ROOT / "scripts" / "site" / "theme")},
        "docs_dir": str(source),
        "site_dir": str(site),
        "nav": navigation((ROOT / "docs" / "README.md").read_text("utf-8")),
    }
    (build / "mkdocs.yml").write_text(json.dumps(settings, indent=1), "utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean", "-f", str(build / "mkdocs.yml")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.run(command, check=False, env=environment).returncode


def tracked_files() -> list[str]:
    """Return the files of the site: all of docs/, and pages elsewhere."""
    listed = ["git", "ls-files", "-z", "--", "docs", *OTHERS]
    named = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in named.split("\0") if name and (ROOT / name).exists()]


def page(text: str, name: str, files: set[str], ref: str) -> str:
    """Return a page as the generator reads it: links out of the site absolute, blocks in lists indented by four."""
    lines: list[str] = []
    fence: tuple[str, int] | None = None
    for line in text.split("\n"):
        opened = _FENCE.match(line)
        indent = len(line) - len(line.lstrip(" "))
        if fence:
            lines.append(" " * fence[1] + line if line else line)
            if opened and line.strip() == fence[0]:
                fence = None
            continue
        added = -indent % 4
        if opened:
            fence = (opened[2], added)
        else:
            line = re.sub(r"`[^`]*`|" + _LINK.pattern, lambda at: _absolute(at, name, files, ref), line)
        lines.append(" " * added + line if line else line)
    return "\n".join(lines)


def _absolute(link: re.Match[str], name: str, files: set[str], ref: str) -> str:
    before, target = link[1] or link[3], link[2] or link[4]
    if target and target.removeprefix(PICTURES) in files and target.startswith(PICTURES):
        return f"{before}{os.path.relpath(target.removeprefix(PICTURES), Path(name).parent)}"
    if not target or re.match(r"[a-z]+:", target):
        return link[0]
    path = os.path.normpath(Path(name).parent / target)
    if path in files:
        return link[0]
    kind = "tree" if (ROOT / path).is_dir() else "blob"
    return f"{before}{REPOSITORY}/{kind}/{ref}/{path}"


def navigation(listing: str) -> list[dict[str, str | list[dict[str, str]]]]:
    """Return the order of the pages, which is that of docs/README.md. Each page stands where it is named first."""
    entries: list[dict[str, str | list[dict[str, str]]]] = [{"Conferral": "README.md"}, {"All pages": "docs/README.md"}]
    seen: set[str] = set()
    for table in listing.split("\n\n")[2:]:
        (title, _), *rows = _ROW.findall(table)
        section: list[dict[str, str]] = []
        for first, _ in rows:
            for text, target in _TO_PAGE.findall(first):
                path = os.path.normpath(Path("docs") / target)
                if path not in seen:
                    section.append({text[0].upper() + text[1:]: path})
                seen.add(path)
        entries.append({title: section})
    return entries


def mermaid() -> bytes:
    """Return the program that draws diagrams, fetched once."""
    kept = ROOT / ".venv" / "site" / f"{MERMAID}.js"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder:
            command = ["npm", "pack", "--silent", MERMAID]
            packed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.split()[-1]
            archive = Path(folder) / packed
            integrity = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
            if integrity != MERMAID_INTEGRITY:
                sys.exit(f"{MERMAID}: its hash is {integrity}, which is not the one that is written down")
            with tarfile.open(archive) as opened:
                found = opened.extractfile("package/dist/mermaid.min.js")
                kept.write_bytes(found.read() if found else b"")
    return kept.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
