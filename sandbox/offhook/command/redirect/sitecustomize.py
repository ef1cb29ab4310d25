"""Redirects this program's requests to Twilio's REST API to Offhook.

`offhook run` puts this folder on Python's path, so that every interpreter of the program imports this module as it
starts. OFFHOOK_URL says where Offhook is. Only the host of the REST API is replaced, nothing else of a request.
"""

from __future__ import annotations  # the program's Python may be older

import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

_URL = os.environ.get("OFFHOOK_URL", "").rstrip("/")


def is_twilios(host: str | None) -> bool:
    """Whether a host is that of the REST API, of any region and edge."""
    product, *labels = (host or "").lower().split(".")
    return product == "api" and labels[-2:] == ["twilio", "com"] and len(labels) <= 4


def redirected(url: Any) -> Any:
    """Return the URL with Offhook's address, or unchanged if not Twilio's."""
    try:
        parts = urlsplit(str(url))
    except ValueError:  # the library says what is wrong with it
        return url
    if parts.scheme not in {"http", "https"} or not is_twilios(parts.hostname):
        return url
    text = _URL + parts.path + (f"?{parts.query}" if parts.query else "")
    return text if isinstance(url, str) else type(url)(text)


def _redirect_argument(owner: type, method: str, position: int, name: str = "url") -> None:
    """Redirect the URL in a method's arguments; `position` counts `self`."""
    original: Callable[..., Any] = getattr(owner, method)

    @wraps(original)
    def replacement(*given: Any, **named: Any) -> Any:
        if name in named:
            named[name] = redirected(named[name])
        elif len(given) > position:
            given = (*given[:position], redirected(given[position]), *given[position + 1 :])
        return original(*given, **named)

    setattr(owner, method, replacement)


def _redirect_connections(http_client: Any) -> None:
    """Connect to Offhook; `urllib.request` and others use it."""
    target, original = urlsplit(_URL), http_client.HTTPSConnection.connect

    def connect(self: Any) -> None:
        if not is_twilios(self.host):
            original(self)
            return
        own = self.host, self.port
        self.host, self.port = target.hostname, target.port
        try:
            http_client.HTTPConnection.connect(self)
        finally:
            self.host, self.port = own

    http_client.HTTPSConnection.connect = connect


def _redirect_aiohttp(aiohttp: Any) -> None:
    session = aiohttp.ClientSession
    _redirect_argument(session, "__init__", 1, "base_url")
    _redirect_argument(session, "request", 2)
    for method in ("get", "options", "head", "post", "put", "patch", "delete"):
        _redirect_argument(session, method, 1)


_LIBRARIES: dict[str, Callable[[Any], None]] = {
    "aiohttp": _redirect_aiohttp,
    "http.client": _redirect_connections,
    "httpx": lambda httpx: _redirect_argument(httpx.Request, "__init__", 2),
    "requests": lambda requests: _redirect_argument(requests.PreparedRequest, "prepare_url", 1),
    "urllib3": lambda urllib3: _redirect_argument(urllib3.PoolManager, "urlopen", 2),
}
"""What redirects the requests of each library."""


class _ChangingLoader(Loader):
    """A library's loader, after which its requests are redirected."""

    def __init__(self, loader: Loader, change: Callable[[ModuleType], None]) -> None:
        self._loader, self._change = loader, change

    def __getattr__(self, name: str) -> Any:  # its files, its source
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Let the library's own loader create it."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Load the library, then redirect its requests."""
        self._loader.exec_module(module)
        self._change(module)


class _Finder(MetaPathFinder):
    """Finds the libraries before others do, each once."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a library's spec with our loader; None for other modules."""
        if (change := _LIBRARIES.pop(fullname, None)) is None:
            return None
        for finder in sys.meta_path:
            found = finder.find_spec(fullname, path, target) if finder is not self else None
            if found is not None and found.loader is not None:
                found.loader = _ChangingLoader(found.loader, change)
                return found
        _LIBRARIES[fullname] = change
        return None


def _run_next_sitecustomize(own_folder: str) -> None:
    """Run the module of this name that Python would run without us."""
    sys.path[:] = [folder for folder in sys.path if folder != own_folder]
    spec = PathFinder.find_spec(__name__, sys.path)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(module_from_spec(spec))


if _URL:
    sys.meta_path.insert(0, _Finder())
    for _name in [it for it in _LIBRARIES if it in sys.modules]:  # a file *.pth may have imported it already
        _LIBRARIES.pop(_name)(sys.modules[_name])
    _run_next_sitecustomize(str(Path(__file__).parent))
