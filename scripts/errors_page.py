"""Generate the reference page of the control API's errors: what each type means, and what to do about it."""

from reference_pages import _page, _prose

from conferral.webhooks.api.errors import STATUS, ErrorType

_MEND = {
    ErrorType.MALFORMED: """
        Send one JSON object in UTF-8, not compressed, with the header `Content-Type: application/json`.""",
    ErrorType.UNAUTHORIZED: """
        Send `Authorization: Bearer` and the token that the webhooks have as `CONFERRAL_API_TOKEN`. They read it when
        they start. Where the header is lost on the way, look at your proxy.""",
    ErrorType.UNKNOWN: """
        Look at the path and the id in it. A session is there as soon as a worker has taken up its call, and gone
        `CONFERRAL_SESSION_TTL` after its end; what became of a command is kept for a day. `GET /sessions` tells what
        there is. Nothing was done.""",
    ErrorType.METHOD: """
        Ask by one of the methods that `allowed` names, and the header `Allow`.""",
    ErrorType.TOO_SLOW: """
        Send the whole body within 5 seconds. The connection is closed: open a new one. Nothing was done.""",
    ErrorType.REJECTED: """
        Read `reason`, and give the session one of the commands in `allowed`: those that it took at that moment. Under
        the same id the answer stays the same, so a new try needs a new id. Nothing was done.""",
    ErrorType.TAKEN: """
        Either another command was given under this `id` or `Idempotency-Key`. Take a new one for each command, and the
        same one only to repeat a command as it was, with the same fields for the same session. Or a `call` names a
        session that there is already: leave `session` out, or name another. Nothing was done.""",
    ErrorType.TOO_LARGE: """
        Send at most 64 KiB; no command needs more. The connection is closed: open a new one. Nothing was done.""",
    ErrorType.INVALID: """
        Mend what `reason` names: a field of the body, a parameter of the query or the header `Idempotency-Key`. What
        each may be stands [route by route](api.md). Nothing was done.""",
    ErrorType.NOT_SET_UP: """
        Set what `reason` names, see [settings](settings.md), and start the webhooks anew. Asking again does not help.
        Nothing was done.""",
    ErrorType.TOO_MANY: """
        Send the right token: it is always served. A wrong one is compared again after the seconds in `Retry-After`.
        Nothing was done.""",
    ErrorType.FULL: """
        Start a worker, or find out why none routes commands: `conferral check` says so. Then give the command again,
        with the same `id` or `Idempotency-Key`. Nothing was done.""",
    ErrorType.STORE: """
        Ask again after a second, with the same `id` or `Idempotency-Key`: then the command is done once, whether or not
        it was taken before. If it had neither, look at the session first. `GET /readyz` tells when Redis is back; where
        it stays away, see [operating](../operating.md#what-readyz-says).""",
}


def errors_page(notes: dict[str, str]) -> str:
    """Return every error type under its own heading, to which an error's `docs` field links.

    Args:
        notes: A description of each error type, by its name in the code.
    """
    intro = _prose(
        "Each refusal of [the control API](../api.md) names one of these as `type`, and leads here by `docs`, a path "
        "below the root of the repository. `reason` is the same in words."
    )
    sections = (
        f"## {kind.value}\n\nHTTP {STATUS[kind]}. {notes[kind.name]}\n\n{_prose(' '.join(_MEND[kind].split()))}"
        for kind in ErrorType
    )
    return _page("webhooks/api/errors.py", "# What the control API refuses, and what to do\n", intro, *sections)
