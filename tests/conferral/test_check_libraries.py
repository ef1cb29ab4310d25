"""`check`: what it finds in the installed libraries."""

import aiohttp
import aiohttp.http_parser

from conferral.check import settings


def test_an_old_aiohttp_fails(monkeypatch):
    monkeypatch.setattr(aiohttp, "__version__", "3.14.3")

    assert settings.check_libraries()[0].status == "fail"


def test_the_python_parser_of_aiohttp_fails(monkeypatch):
    monkeypatch.setattr(aiohttp.http_parser, "HttpRequestParser", aiohttp.http_parser.HttpRequestParserPy)

    assert settings.check_libraries()[1].status == "fail"
