"""The sandbox's state as JSON, for `offhook.testing.remote`."""

from dataclasses import asdict, fields
from typing import Any

from offhook.runtime import SandboxRuntime


def snapshot(sandbox: SandboxRuntime) -> dict[str, Any]:
    """Return what the fixtures show of it."""
    state, log = sandbox.model.state, sandbox.request_log
    return {
        "now_s": sandbox.now_s,
        "epoch_s": sandbox.epoch_s,
        "is_idle": sandbox.webhook_sender.is_idle,
        "live_calls": list(state.live_calls),
        "calls": [_plain(it) | {"activity": it.shown_activity} for it in state.calls.values()],
        "conferences": [
            _plain(it) | {"participants": {sid: _with_settings(one) for sid, one in it.participants.items()}}
            for it in state.conferences.values()
        ],
        "recordings": [_with_settings(it) for it in state.recordings.values()],
        "messages": [_plain(it) for it in state.messages.values()],
        "hearing": {
            sid: [
                [it.since_s, it.until_s, _plain(it.sound) | {"parties": sorted(it.sound.parties)}] for it in intervals
            ]
            for sid, intervals in sandbox.model.audibility.history.items()
        },
        "phones": {address: phone.call_sids for address, phone in sandbox.phones.items()},
        "requests": asdict(log),
    }


def _plain(record: Any) -> dict[str, Any]:
    """Return the fields that are text, numbers, or nothing."""
    values = {it.name: getattr(record, it.name) for it in fields(record)}
    return {name: value for name, value in values.items() if value is None or isinstance(value, str | int | float)}


def _with_settings(record: Any) -> dict[str, Any]:
    return _plain(record) | {"settings": _plain(record.settings)}
