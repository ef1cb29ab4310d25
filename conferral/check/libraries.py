"""Check that the HTTP libraries are safe to expose to the internet."""

import re

import aiohttp
import aiohttp.http_parser

from conferral.check.result import CheckResult, fail, ok

#: Earlier versions have open request-smuggling advisories.
AIOHTTP_MIN = (3, 14, 4)


def check_libraries() -> list[CheckResult]:
    """Check aiohttp's version and its parser."""
    return [_check_aiohttp(), _check_http_parser()]


def _check_aiohttp() -> CheckResult:
    version = tuple(int(part) for part in re.findall(r"\d+", aiohttp.__version__)[:3])
    least = ".".join(map(str, AIOHTTP_MIN))
    if version < AIOHTTP_MIN:
        return fail("aiohttp", f"{aiohttp.__version__} has known vulnerabilities", f"install {least} or newer")
    return ok("aiohttp", aiohttp.__version__)


def _check_http_parser() -> CheckResult:
    if aiohttp.http_parser.HttpRequestParser is aiohttp.http_parser.HttpRequestParserPy:
        return fail(
            "HTTP parser",
            "aiohttp runs without its C parser; the Python parser allows request smuggling",
            "unset AIOHTTP_NO_EXTENSIONS and install a wheel of aiohttp for this platform",
        )
    return ok("HTTP parser", "aiohttp's C parser")
