"""The webhooks application: routes, and answers to rejected requests."""

from dataclasses import replace
from urllib.parse import unquote, urlsplit

import structlog
from aiohttp import hdrs, web

from conferral.runtime.clock import Clock
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.lifecycle import Draining
from conferral.runtime.log import REFUSALS_LOG_EVERY_S, LogRateLimit
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.storage.ingest.port import Ingest, ReplayedCallError
from conferral.storage.schema import SchemaVersion
from conferral.telephony import number_setup
from conferral.telephony.callback_events import MalformedCallbackError
from conferral.telephony.callback_urls import (
    ANNOUNCEMENT_PATH,
    CALL_PATH,
    CONFERENCE_PATH,
    DIAL_ACTION_PATH,
    FALLBACK_PATH,
    GATE_PATH,
    RECORDING_PATH,
    WAIT_PATH,
    CallbackUrlError,
)
from conferral.telephony.directory import DirectoryFile
from conferral.telephony.phrases import Phrase
from conferral.telephony.twilio_queries import TwilioQueries
from conferral.webhooks.authentication import Form, RequestAuthenticator, Rules
from conferral.webhooks.dial_action import DialActionRoutes
from conferral.webhooks.gate import GateRoutes
from conferral.webhooks.rescue import VOICE_URL_PATHS, Action, NoRedisIngest, Rescue
from conferral.webhooks.responses import Dependencies, RejectedError, Rejection, twiml_response
from conferral.webhooks.server import HealthRoutes
from conferral.webhooks.status_callbacks import STATUS_PATH, CallbackRoutes
from conferral.webhooks.visits import TooManyVisitsError, Visits
from conferral.webhooks.voice import CONFERENCE_START_PATH, INBOUND_PATH, VoiceRoutes
from conferral.webhooks.voice_client import CLIENT_PATH, ClientRoutes
from conferral.webhooks.wait_url import PATHS, AnnouncementRoutes, AudioFile, WaitRoutes

log = structlog.get_logger()

_EXPECTED_ERRORS = (
    RejectedError, ReplayedCallError, TooManyVisitsError, CallbackUrlError, MalformedCallbackError
)  # fmt: skip


def make_app(
    settings: ServiceSettings,
    ingest: Ingest,
    twilio: TwilioQueries,
    metrics: Metrics,
    clock: Clock,
    directory: DirectoryFile | None = None,
    schema: SchemaVersion | None = None,
    draining: Draining | None = None,
) -> web.Application:
    """Return the application; the caller opens and closes its dependencies.

    Load the directory once, unless the caller reloads a given one. Raise SettingsError if that or a setting is invalid.
    """
    app = web.Application()
    dependencies = Dependencies.of(settings, ingest, twilio, metrics, directory or DirectoryFile(settings))
    signed = signed_routes(dependencies)
    health = HealthRoutes(ingest, metrics, schema or SchemaVersion(), draining)
    rescue = Rescue(dependencies, signed_routes(replace(dependencies, ingest=NoRedisIngest())))
    shared = _Shared(dependencies, rescue, clock)
    audio = {path: AudioFile(path) for path in PATHS.values()}
    # A proxy may strip the public URL's path or keep it. The router escapes paths by itself.
    for prefix in dict.fromkeys(("", unquote(urlsplit(settings.public_url).path))):
        for path, action in signed.items():
            route = _SignedRoute(path, action, shared, prefix_was_kept=bool(prefix))
            app.router.add_route(hdrs.METH_ANY, prefix + path, route.handle)
        for path, file in audio.items():
            app.router.add_get(prefix + path, file.send)
        app.router.add_get(f"{prefix}/healthz", health.alive)
        app.router.add_get(f"{prefix}/readyz", health.ready)
        app.router.add_get(f"{prefix}/metrics", health.metrics)
    return app


def signed_routes(dependencies: Dependencies) -> dict[str, Action]:
    """Return the handlers of authenticated requests from Twilio, by path."""
    gate = GateRoutes(dependencies)
    visits = Visits(dependencies)
    actions = DialActionRoutes(dependencies, visits=visits)
    client = ClientRoutes(dependencies, visits=visits)
    voice = VoiceRoutes(dependencies, actions=actions, gate=gate, client=client, visits=visits)
    callbacks = CallbackRoutes(dependencies, visits=visits)
    return {
        INBOUND_PATH: voice.inbound,
        CONFERENCE_START_PATH: voice.conference,
        CLIENT_PATH: client.client,
        FALLBACK_PATH: voice.fallback,
        DIAL_ACTION_PATH: actions.dial_action,
        GATE_PATH: gate.gate,
        WAIT_PATH: WaitRoutes(dependencies).wait,
        ANNOUNCEMENT_PATH: AnnouncementRoutes(dependencies).announcement,
        STATUS_PATH: callbacks.number_status,
        CALL_PATH: callbacks.call,
        CONFERENCE_PATH: callbacks.conference,
        RECORDING_PATH: callbacks.recording,
    }


class _Shared:
    def __init__(self, dependencies: Dependencies, rescue: Rescue, clock: Clock) -> None:
        self.authenticator = RequestAuthenticator(dependencies.settings)
        self.documents = dependencies.documents
        self.metrics = dependencies.metrics
        self.rescue = rescue
        self.clock = clock
        self.log_limit = LogRateLimit(clock)

    def record_rejection(self, path: str, status: int, reason: Rejection) -> None:
        """Count a rejected request, and log some, without any request data."""
        self.metrics.webhook_rejections.labels(path, reason.value).inc()
        if count := self.log_limit.count((path, reason), REFUSALS_LOG_EVERY_S):
            log.warning("webhook_rejected", url_path=path, status=status, reason=reason.value, count=count)


class _SignedRoute:
    def __init__(self, path: str, action: Action, shared: _Shared, *, prefix_was_kept: bool) -> None:
        self._path = path
        self._action = action
        self._shared = shared
        is_voice = path.startswith("/voice/")
        self._rules = Rules(prefix_was_kept, is_voice=is_voice, is_new_call=path in VOICE_URL_PATHS)

    async def handle(self, request: web.Request) -> web.Response:
        shared, path = self._shared, self._path
        started_s = shared.clock.monotonic_s()
        form: Form | None = None
        query = request.raw_path.partition("?")[2]
        try:
            with contain(ItemKind.WEBHOOK, shared.metrics, passing=_EXPECTED_ERRORS, url_path=path) as boundary:
                form = await shared.authenticator.authenticate(request, self._rules)
                response = await self._action(form, query)
            if boundary.unexpected is not None:
                response = web.Response(status=500)
                if form is not None:
                    response = await shared.rescue.answer(path, form, query, _EXPECTED_ERRORS)
        except RejectedError as error:
            is_unsigned = error.reason is Rejection.UNSIGNED
            if is_unsigned and shared.authenticator.is_probe(request, shared.clock.wall_ms() / 1000):
                return web.Response(status=error.status)
            is_signed = error.reason is Rejection.REPEATED_FIELD
            response = self._answer_malformed(error.reason) if is_signed else self._reject(error.status, error.reason)
        except ReplayedCallError:
            if count := shared.log_limit.count((path, "replayed"), REFUSALS_LOG_EVERY_S):
                log.warning("webhook_replayed", url_path=path, count=count)
            response = twiml_response(shared.documents.hang_up())
        except TooManyVisitsError:
            response = twiml_response(shared.documents.say_and_hang_up(Phrase.UNREACHABLE))
        except CallbackUrlError:
            response = self._answer_malformed(Rejection.MALFORMED_URL)
        except MalformedCallbackError:
            response = self._answer_malformed(Rejection.MALFORMED_FIELD)
        else:
            if request.raw_path.endswith(number_setup.TARGET):  # of `conferral check`: no refused callback
                return response
        duration_s = shared.clock.monotonic_s() - started_s
        shared.metrics.webhook_requests.labels(path, str(response.status)).observe(duration_s)
        return response

    def _answer_malformed(self, reason: Rejection) -> web.Response:
        if self._path not in VOICE_URL_PATHS:
            return self._reject(400, reason)
        self._shared.record_rejection(self._path, 200, reason)
        return twiml_response(self._shared.documents.say_and_hang_up(Phrase.UNREACHABLE))

    def _reject(self, status: int, reason: Rejection) -> web.Response:
        self._shared.record_rejection(self._path, status, reason)
        return empty_response(status)


def empty_response(status: int) -> web.Response:
    """Return a response without a body; close where the request has more."""
    response = web.Response(status=status, headers={hdrs.ALLOW: "POST"} if status == 405 else None)
    if status in (408, 413):
        response.force_close()  # do not wait for the rest of the body
    return response
