"""Generate the reference page of the control API's errors and fixes."""

from reference_pages import _page, _prose

from conferral.runtime.web.json_requests import STATUS
from conferral.webhooks.api.errors import ErrorType

_FIXES = {
    ErrorType.MALFORMED: """
        Send one JSON object in UTF-8, uncompressed, with the header `Content-Type: application/json`.""",
    ErrorType.UNAUTHORIZED: """
        Send `Authorization: Bearer TOKEN` with the webhooks' `CONFERRAL_API_TOKEN`, which they read at startup. If the
        token is right, check whether your proxy removes the header.""",
    ErrorType.UNKNOWN: """
        Check the path and its id. A session exists once a worker has opened it, and until `CONFERRAL_SESSION_TTL` after
        its end; a command's outcome is kept for a day. `GET /sessions` lists the sessions. Nothing was done.""",
    ErrorType.METHOD: """
        Use one of the methods in `allowed` and in the header `Allow`.""",
    ErrorType.TIMEOUT: """
        Send the whole body within 5 seconds. The connection is closed: open a new one. Nothing was done.""",
    ErrorType.REJECTED: """
        Read `reason`, and send one of the commands in `allowed`, which the session accepted at that moment. A
        retry with the same id gets the same answer, so use a new id. Nothing was done.""",
    ErrorType.ID_CONFLICT: """
        If another command already used this `id` or `Idempotency-Key`: use a new one for each command, and reuse it
        only to retry the same command. If a `call` names an existing session: omit `session`, or choose another id.
        Nothing was done.""",
    ErrorType.TOO_LARGE: """
        Send at most 64 KiB; no command needs more. The connection is closed: open a new one. Nothing was done.""",
    ErrorType.INVALID: """
        Fix what `reason` names: a field of the body, a query parameter, or the header `Idempotency-Key`. The
        [API reference](api.md) lists the valid values. Nothing was done.""",
    ErrorType.NOT_SET_UP: """
        Set what `reason` names (see [settings](settings.md)), and restart the webhooks. A retry does not help. Nothing
        was done.""",
    ErrorType.TOO_MANY: """
        Send the right token: it always works. Wrong tokens get 429 until the seconds in `Retry-After` have
        passed. Nothing was done.""",
    ErrorType.FULL: """
        Start a worker, or run `conferral check` to find out why no worker routes commands. Then send the command again,
        with the same `id` or `Idempotency-Key`. Nothing was done.""",
    ErrorType.STORE: """
        Retry after a second, with the same `id` or `Idempotency-Key`: the command then runs once, whether or not it was
        accepted before. If your request had neither, check the session first. `GET /readyz` shows when Redis is back.
        If it doesn't come back, see [operating](../operating.md#what-readyz-says).""",
}


def errors_page(notes: dict[str, str]) -> str:
    """Return a section for each error type; `notes` describe them."""
    intro = _prose(
        "Each error of [the control API](../api.md) has one of these as its `type`; its `docs` is the path to the "
        "section here, relative to the root of the repository. `reason` gives the details."
    )
    sections = (
        f"## {kind.value}\n\nHTTP {STATUS[kind]}. {notes[kind.name]}\n\n{_prose(' '.join(_FIXES[kind].split()))}"
        for kind in ErrorType
    )
    return _page("webhooks/api/errors.py", "# Errors of the control API, and what to do\n", intro, *sections)
