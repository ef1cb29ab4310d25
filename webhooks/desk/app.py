"""The agent's desk in the webhooks application."""

from urllib.parse import unquote, urlsplit

from aiohttp import web

from conferral.runtime.settings import ServiceSettings
from conferral.webhooks.desk.pages import DeskPages


def add_desk(app: web.Application, settings: ServiceSettings) -> None:
    """Mount the desk next to the control API."""
    pages = DeskPages(settings)
    # A proxy may strip the public URL's path or keep it; both are served.
    for prefix in dict.fromkeys(("", unquote(urlsplit(settings.public_url).path))):
        pages.add_to(app, prefix)
    app.on_response_prepare.append(pages.add_headers)
