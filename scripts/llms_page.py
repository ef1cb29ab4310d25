"""Generate docs/llms.txt, the list of pages for language models.

Source: llmstxt.org, "Format".
"""

import re

from page_parts import ROOT

PAGE = "docs/llms.txt"
_LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
_ROW = re.compile(r"^\| (?!---)(.+) \| (.+) \|$", re.MULTILINE)
#: The first table of the list of pages is one of questions, whose answers are the links.
_QUESTIONS = "To"
HEAD = """\
# Conferral

> {what}

Conferral is a service (Python 3.11, Redis) next to your app. Twilio's webhooks lead to it, and it controls the calls by
Twilio's REST API. You send commands over HTTP, Redis, the command line, or Python. A *session* is one conversation.
Each transfer and each session leaves an *outcome*. To try it without an account, run `make demo` in a checkout: it
brings a local Twilio with phones. Links are relative to this file.

## Start here

- [A skill](../examples/skill/SKILL.md): install Conferral, run the sandbox, transfer a call, read an outcome
- [Commands as tools](reference/tools.json): JSON Schemas that providers of models take
- [An MCP server](../examples/mcp_server.py): an assistant reads calls, and sends the commands that you name
- [OpenAPI](reference/api.md): the control API; a running one has it at `/openapi.json`
"""


def llms_page() -> str:
    """Return the page: what Conferral is, then the pages as docs/README.md lists them."""
    readme = (ROOT / "README.md").read_text("utf-8")
    what = " ".join(readme.partition("**")[2].partition("**")[0].split())
    lines = [HEAD.format(what=what)]
    for table in (ROOT / "docs" / "README.md").read_text("utf-8").split("\n\n")[1:]:
        (title, _), *rows = _ROW.findall(table)
        lines.append(f"## {'Questions' if title == _QUESTIONS else title}\n")
        for first, second in rows:
            links, about = (second, first) if title == _QUESTIONS else (first, second)
            first_page, *others = (f"[{text}]({url})" for text, url in _LINK.findall(links) if f"docs/{url}" != PAGE)
            also = f"; also {', '.join(others)}" if others else ""
            lines.append(f"- {first_page}: {_plain(about)}{also}")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _plain(text: str) -> str:
    return _LINK.sub(r"\1", text)
