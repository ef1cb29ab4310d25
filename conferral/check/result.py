"""One line of the check's result."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One finding: what was checked, its status, and the fix."""

    #: `ok`, `warn` or `fail`.
    status: str
    name: str
    found: str
    #: How to fix it; empty if there is nothing to do.
    fix: str = ""
    #: The wrong setting; empty if it is not a setting that is wrong.
    setting: str = ""


def ok(name: str, detail: str) -> CheckResult:
    """Return a passing line."""
    return CheckResult("ok", name, detail)


def warn(name: str, detail: str, fix: str) -> CheckResult:
    """Return a warning: works until something else fails, or can't be checked."""
    return CheckResult("warn", name, detail, fix)


def fail(name: str, detail: str, fix: str, setting: str = "") -> CheckResult:
    """Return a failure: it doesn't work, or calls can be lost."""
    return CheckResult("fail", name, detail, fix, setting)
