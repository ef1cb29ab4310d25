"""Write docs/reference/alerts.md from the annotations of deploy/alerts.yml."""

import re
from typing import Any

import yaml
from page_parts import ROOT, page, prose

SOURCE = "deploy/alerts.yml"
#: A page of docs/ with a heading, or another alert.
_POINTER = re.compile(r"docs/((?:reference/)?[\w-]+)\.md(#[\w-]+)?|\bConferral[A-Z]\w+")


def alerts_page() -> str:
    """Return every alert with its meaning, what to check, and what to do."""
    groups = yaml.safe_load((ROOT / SOURCE).read_text("utf-8"))["groups"]
    intro = prose(
        f"[`{SOURCE}`](../../{SOURCE}) has these rules for Prometheus; the comment above each explains its threshold. "
        "`critical` needs someone now; `warning` needs someone today. A notification has the same texts as annotations."
    )
    return page(SOURCE, "# Alerts\n", intro, *(_section(rule) for group in groups for rule in group["rules"]))


def _section(rule: dict[str, Any]) -> str:
    """Return an alert's section; its heading is what `runbook_url` names."""
    shown = rule["annotations"]
    lines = (("Means", "meaning"), ("Check", "check"), ("Do", "action"))
    says = "".join(f"- **{label}:** {_linked(shown[name])}\n" for label, name in lines)
    return f"## {rule['alert']}\n\n{shown['summary']} (`{rule['labels']['severity']}`).\n\n{says}"


def _linked(text: str) -> str:
    """Return a text in which pages and other alerts are links."""
    return _POINTER.sub(lambda found: f"[{_name(found)}]({_target(found)})", text)


def _name(found: re.Match[str]) -> str:
    name, anchor = found.groups()
    return (anchor or name).removeprefix("#").removeprefix("reference/").replace("-", " ") if name else found[0]


def _target(found: re.Match[str]) -> str:
    name, anchor = found.groups()
    return f"../{name}.md{anchor or ''}" if name else f"#{found[0].lower()}"
