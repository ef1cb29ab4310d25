"""Runs the scripts of phones: what each does by itself, and when."""

import asyncio
from typing import TYPE_CHECKING

from conferral.sandbox.model.inputs import Input, PhoneAnswers
from conferral.sandbox.model.outputs import RingPhone
from conferral.sandbox.request_log import DialEntry

if TYPE_CHECKING:
    from conferral.sandbox.runtime import SandboxRuntime


class PhoneScripts:
    """The scripts that run, by leg."""

    def __init__(self, sandbox: "SandboxRuntime") -> None:
        self._sandbox = sandbox
        self.timers: dict[str, list[asyncio.TimerHandle]] = {}

    def clear(self) -> None:
        """Stop the scripts of all legs."""
        for call_sid in list(self.timers):
            self.stop(call_sid)

    def ring(self, ring: RingPhone) -> None:
        """Log a dialed leg, and run its phone's script."""
        call = self._sandbox.model.state.calls[ring.call_sid]
        label = call.join_settings.label if call.join_settings else ""
        entry = DialEntry(self._sandbox.now_s, ring.call_sid, ring.to, label, call.direction)
        self._sandbox.request_log.dials.append(entry)
        script = self._sandbox.phone(ring.to).on_dialed(ring.call_sid)
        self._schedule(ring.call_sid, script.steps_before_answer(ring.call_sid))

    def stop(self, call_sid: str) -> bool:
        """Stop a leg's script; return whether it was running."""
        handles = self.timers.pop(call_sid, [])
        for handle in handles:
            handle.cancel()
        return bool(handles)

    def on_gather(self, call_sid: str) -> None:
        """Press the script's keys, if any, for a `<Gather>` on this leg."""
        call = self._sandbox.model.state.calls[call_sid]
        if call.direction != "inbound":  # inbound callers have no script
            self._schedule(call_sid, self._sandbox.phone(call.to).on_gather(call_sid))

    def _schedule(self, call_sid: str, steps: list[tuple[float, Input]]) -> None:
        """Run each step after its seconds of sandbox time."""
        loop = asyncio.get_running_loop()
        handles = self.timers.setdefault(call_sid, [])
        for after_s, step in steps:
            handles.append(loop.call_later(after_s / self._sandbox.speed, self._run_script_step, call_sid, step))

    def _run_script_step(self, call_sid: str, step: Input) -> None:
        self._sandbox.apply(step)
        if isinstance(step, PhoneAnswers) and call_sid in self._sandbox.model.state.live_calls:
            phone = self._sandbox.phone(self._sandbox.model.state.calls[call_sid].to)
            self._schedule(call_sid, phone.active_scripts[call_sid].steps_after_answer(call_sid))
