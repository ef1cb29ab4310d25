"""A real browser for tests: one Chromium for all of them, a fresh profile for each, and a watch on what it does."""

import inspect
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect
from redis import Redis

from tests.browser.browser_environment import BrowserEnvironment, Console
from tests.browser.camera import Camera
from tests.browser.scripted_desk import ScriptedDesk
from tests.browser.twilio_signaling import TwilioSignaling
from tests.browser.windows import PATIENCE_MS, Profiles, Windows
from tests.conferral.cli_helpers import set_up
from tests.support.redis_server import RedisServer

HERE = Path(__file__).parent
expect.set_options(timeout=PATIENCE_MS)
#: Names under which distributions install it.
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
NO_BROWSER = (
    "console and desk are not tested in a browser: install Chromium (Debian: apt install chromium), "
    "or name one with CONFERRAL_TEST_CHROMIUM"
)
#: Each window would have processes for suggestions below its address, and one for a next page: half of its CPU time.
WITHOUT = ("SpareRendererForSitePerProcess", "WebUIOmniboxPopup", "WebUIOmniboxAimPopup")
#: Chromium takes the last list of features that it is given, so these of Playwright's list are repeated.
WITHOUT_IN_PLAYWRIGHT = (
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "OptimizationHints",
    "PaintHolding",
    "ThirdPartyStoragePartitioning",
)
#: Without what a browser does by itself over the network; it finds no one but this machine.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--disable-features={','.join((*WITHOUT, *WITHOUT_IN_PLAYWRIGHT))}",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One loop runs all of these: so one browser is started."""
    for item in items:
        if item.path.is_relative_to(HERE) and inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def browser_program() -> str:
    return found_program()


def found_program() -> str:
    """The browser's path; empty without one."""
    named = os.environ.get("CONFERRAL_TEST_CHROMIUM", "")
    return named or next((found for name in PROGRAMS if (found := shutil.which(name))), "")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips all of them at one line, as pytest reports one line for that."""
    if "browser_program" in getattr(item, "fixturenames", ()) and not found_program():
        pytest.skip(NO_BROWSER)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(browser_program: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=browser_program, args=list(ARGUMENTS))
        yield started
        await started.close()


@pytest.fixture(scope="session")
def profiles(browser: Browser) -> Profiles:
    return Profiles(browser)


@pytest_asyncio.fixture(loop_scope="session")
async def windows(profiles: Profiles, request: pytest.FixtureRequest) -> AsyncIterator[Windows]:
    """Windows of a browser that no one has used before; whatever is wrong in one of them fails the test."""
    opened = Windows(profiles)
    yield opened
    await opened.close()
    opened.report_errors()


@pytest.fixture
def camera() -> Camera:
    """Takes pictures only if the command line names a folder for them."""
    folder = os.environ.get("CONFERRAL_TEST_PICTURES", "")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
    return Camera(Path(folder) if folder else None)


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[Redis]:
    with redis_server.client() as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def console(redis_server: RedisServer, redis: Redis) -> AsyncIterator[Console]:
    """A console alone: what it shows is put into Redis by the test. Name it before `windows`: those close first."""
    set_up(redis)
    async with Console(redis_server.url) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def stage(redis_server: RedisServer) -> AsyncIterator[BrowserEnvironment]:
    """Everything, with phones to be played. Name it before `windows`: those close first."""
    async with BrowserEnvironment(redis_server.url) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def desk() -> AsyncIterator[ScriptedDesk]:
    """Name it before `windows`: those close first."""
    async with ScriptedDesk() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def signaling() -> AsyncIterator[TwilioSignaling]:
    async with TwilioSignaling() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def signaling_desk(signaling: TwilioSignaling) -> AsyncIterator[ScriptedDesk]:
    """A desk whose phone registers with the stand-in."""
    async with ScriptedDesk(TWILIO_API_URL=signaling.url) as opened:
        yield opened
