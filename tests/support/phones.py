"""What people and machines do with a phone that rings, by name; for `script_in_turn` of a sandbox's phone.

    sandbox.phone("client:bob").script_in_turn(busy(), answers())  # busy at the first call, then picked up
    sandbox.phone("+14155550155").script_in_turn(voicemail())
    leg = await dialed(sandbox, "client:bob", 2)                   # its second call

Times are seconds of the sandbox's clock, so they shrink with its speed. A phone without instructions rings until
Twilio gives up.
"""

from offhook import CallHandle, PhoneScript, Sandbox

#: From ringing to being picked up: quick, but long enough that both are seen.
PICK_UP_S = 0.02


def answers(after_s: float = PICK_UP_S, *, hangs_up_after_s: float | None = None) -> PhoneScript:
    """Someone picks up so long after it began to ring, and hangs up so long after that, or never.

    Presses no keys: at a gate that asks for one, this is someone who listens to the question and says nothing.
    """
    return PhoneScript(answer_after_s=after_s, hang_up_after_s=hangs_up_after_s)


def presses(
    *keys: str, after_s: float = PICK_UP_S, key_after_s: float = 0.05, hangs_up_after_s: float | None = None
) -> PhoneScript:
    """Someone picks up and presses keys when asked to: at each `<Gather>` in turn, so long after it has begun.

    `presses("1")` takes the call; `presses("2")` refuses it; `presses("", "1")` lets the first question pass. Behind
    the last of them nothing more is pressed.
    """
    return PhoneScript(answer_after_s=after_s, keys=keys, keys_after_s=key_after_s, hang_up_after_s=hangs_up_after_s)


def screens(*keys: str, picks_up_after_s: float | None = None) -> PhoneScript:
    """The phone answers and asks who calls; someone picks up so long after that, and presses keys from there on."""
    return PhoneScript(kind="screened-person", picks_up_after_s=picks_up_after_s, keys=keys)


def voicemail(answer_after_s: float = PICK_UP_S, *, records_for_s: float = 120.0) -> PhoneScript:
    """A machine picks up, says its greeting, presses nothing, and hangs up only when its recording is full.

    Its greeting and its listening are what others hear of any other leg: a party admitted with it hears its SID.
    """
    return PhoneScript(answer_after_s=answer_after_s, hang_up_after_s=records_for_s)


def busy(after_s: float = 0.0) -> PhoneScript:
    """The line is busy (CallStatus `busy`, SIP 486); it never rings."""
    return PhoneScript(outcome="busy", answer_after_s=after_s)


def refuses(after_s: float = PICK_UP_S) -> PhoneScript:
    """Someone sees it ring and refuses (CallStatus `busy`, SIP 603, a browser 600)."""
    return PhoneScript(outcome="reject", answer_after_s=after_s)


def unreachable(after_s: float = 0.0) -> PhoneScript:
    """There is no such phone (CallStatus `failed`, SIP 404); it never rings."""
    return PhoneScript(outcome="fail", answer_after_s=after_s)


def rings() -> PhoneScript:
    """No one picks up: it rings until Twilio gives up (CallStatus `no-answer`, SIP 487)."""
    return PhoneScript(outcome="no-answer")


async def dialed(sandbox: Sandbox, address: str, time: int = 1, *, timeout_s: float = 30.0) -> CallHandle:
    """Waits until a phone was dialed so many times, and returns the leg of that time, whatever has become of it.

    Raises:
        TimeoutError: It was not, within so many real seconds.
    """
    await sandbox.wait_until(lambda: len(sandbox.calls_of(address)) >= time, timeout_s)
    return sandbox.calls_of(address)[time - 1]
