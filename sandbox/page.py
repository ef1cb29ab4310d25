"""The sandbox's front page: what this is, and which calls are live."""

from __future__ import annotations

from html import escape

from sandbox.switchboard import Switchboard

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Sandbox</title>
<style>body{{font:16px/1.5 system-ui;margin:2rem;max-width:70rem}}td,th{{text-align:left;padding:.2rem 1rem .2rem 0}}
code{{background:#8882;padding:0 .2rem}}</style>
<h1>Sandbox: a local Twilio</h1>
<p>Nothing here reaches a telephone. REST API: <code>{url}/2010-04-01/Accounts/{account}/</code></p>
<p>Place a call: <code>curl -d '{{"from":"+14155550123","to":"NUMBER"}}' {url}/sandbox/calls</code>.
Answer one: <code>curl -X POST {url}/sandbox/calls/SID/answer</code> (also <code>hangup</code>, <code>reject</code>,
<code>speak</code>).
A browser calls: <code>curl -d '{{"identity":"alice","to":"client:bob"}}' {url}/sandbox/browser-calls</code>.
See <a href="/sandbox/calls">calls</a>, <a href="/sandbox/conferences">conferences</a>,
<a href="/sandbox/recordings">recordings</a>, <a href="/sandbox/ledger">ledger</a>,
<a href="/sandbox/hearing">hearing</a>.</p>
<p>Numbers: {numbers}</p>
<table><tr><th>call<th>from<th>to<th>status<th>doing<th>hears</tr>{rows}</table>
"""


def front_page(sandbox: Switchboard) -> str:
    """The page as HTML."""
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(text)}" for text in _cells(sandbox, sid)) + "</tr>"
        for sid in sandbox.exchange.state.live
    )
    numbers = ", ".join(sorted(sandbox.exchange.state.numbers)) or "none; POST /sandbox/numbers adds one"
    return _PAGE.format(
        url=escape(sandbox.url),
        account=escape(sandbox.account_sid),
        numbers=escape(numbers),
        rows=rows or "<tr><td colspan=6>no live calls</tr>",
    )


def _cells(sandbox: Switchboard, sid: str) -> tuple[str, ...]:
    call = sandbox.call(sid)
    record = call.record
    return sid, record.from_, record.to, record.status, record.activity, str(call.hears or "")
