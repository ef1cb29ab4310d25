"""Where the application is that public URLs name, as behind a tunnel."""

from collections.abc import Mapping
from urllib.parse import urlsplit


class UrlMap:
    """Public base URLs, and the base URLs at which they are played.

    Requests are signed for the public URL, and have the headers that a tunnel or a proxy adds, from which frameworks
    rebuild it.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        for url in (*given, *given.values()):
            _check_base(url)
        played = {_split_origin(public.rstrip("/")): actual.rstrip("/") for public, actual in given.items()}
        self._played = sorted(played.items(), key=lambda it: -len(it[0][1]))  # the longest path first

    def place(self, url: str) -> str:
        """Return where a URL is played; by default, that URL."""
        origin, rest = _split_origin(url)
        for (public, path), actual in self._played:
            tail = rest[len(path) :]
            if origin == public and rest.startswith(path) and tail[:1] in {"", "/", "?"}:
                return actual + tail
        return url

    def headers(self, url: str) -> dict[str, str]:
        """Return the headers of a request that is played elsewhere."""
        if self.place(url) == url:
            return {}
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return {"Host": host, "X-Forwarded-Host": host, "X-Forwarded-Proto": parts.scheme}


def read_map(name: str, text: str) -> tuple[str, str]:
    """Return both URLs of `PUBLIC=ACTUAL`; ValueError with `name` for others."""
    public, equals, actual = text.partition("=")
    if not equals:
        raise ValueError(f"{name}: {text!r} lacks its second URL: https://my.example=http://127.0.0.1:5000")
    return public.strip(), actual.strip()


def _split_origin(url: str) -> tuple[str, str]:
    """Return scheme and host, without regard to case, and the rest."""
    scheme, _, after = url.partition("://")
    cut = min((at for at in (after.find("/"), after.find("?")) if at >= 0), default=len(after))
    return f"{scheme}://{after[:cut]}".lower(), after[cut:]


def _check_base(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_base = parts.scheme in {"http", "https"} and bool(parts.hostname) and not (parts.query or parts.fragment)
        _ = parts.port  # ValueError for none
    except ValueError:
        is_base = False
    if not is_base:
        raise ValueError(f"{url!r} is no base URL to map, such as https://my.example")
