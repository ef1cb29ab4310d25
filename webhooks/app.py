"""The webhooks application: routes, and answers to rejected requests."""

from dataclasses import replace
from functools import partial
from urllib.parse import unquote, urlsplit

import structlog
from aiohttp import hdrs, web

from conferral.runtime.clock import Clock
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.lifecycle import Draining
from conferral.runtime.log import REFUSALS_LOG_EVERY_S, LogRateLimit
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.storage.config import SchemaVersion
from conferral.storage.ingest.writer import BatchingIngest, ReplayedCallError
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
    ingest: BatchingIngest,
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
    answers = _Answers(dependencies, rescue, clock)
    audio = {path: AudioFile(path) for path in PATHS.values()}
    # A proxy may strip the public URL's path or keep it. The router escapes paths by itself.
    for prefix in dict.fromkeys(("", unquote(urlsplit(settings.public_url).path))):
        for path, action in signed.items():
            rules = Rules(bool(prefix), is_voice=path.startswith("/voice/"), is_new_call=path in VOICE_URL_PATHS)
            app.router.add_route(hdrs.METH_ANY, prefix + path, partial(answers.answer, path, action, rules))
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


class _Answers:
    """Answers requests on signed paths."""

    def __init__(self, dependencies: Dependencies, rescue: Rescue, clock: Clock) -> None:
        self._authenticator = RequestAuthenticator(dependencies.settings)
        self._documents = dependencies.documents
        self._metrics = dependencies.metrics
        self._rescue = rescue
        self._clock = clock
        self._log_limit = LogRateLimit(clock)

    async def answer(self, path: str, action: Action, rules: Rules, request: web.Request) -> web.Response:
        started_s = self._clock.monotonic_s()
        form: Form | None = None
        query = request.raw_path.partition("?")[2]
        try:
            with contain(ItemKind.WEBHOOK, self._metrics, passing=_EXPECTED_ERRORS, url_path=path) as boundary:
                form = await self._authenticator.authenticate(request, rules)
                response = await action(form, query)
            if boundary.unexpected is not None:
                response = web.Response(status=500)
                if form is not None:
                    response = await self._rescue.answer(path, form, query, _EXPECTED_ERRORS)
        except RejectedError as error:
            # Its caller hears a message, since Twilio has signed it.
            is_message = error.reason is Rejection.REPEATED_FIELD and rules.is_new_call
            response = self._reject(path, 200 if is_message else error.status, error.reason)
        except ReplayedCallError:
            if count := self._log_limit.count((path, "replayed"), REFUSALS_LOG_EVERY_S):
                log.warning("webhook_replayed", url_path=path, count=count)
            response = twiml_response(self._documents.hang_up())
        except TooManyVisitsError:
            response = twiml_response(self._documents.say_and_hang_up(Phrase.UNREACHABLE))
        except CallbackUrlError:
            response = self._reject(path, 200 if rules.is_new_call else 400, Rejection.MALFORMED_URL)
        except MalformedCallbackError:
            response = self._reject(path, 200 if rules.is_new_call else 400, Rejection.MALFORMED_FIELD)
        duration_s = self._clock.monotonic_s() - started_s
        self._metrics.webhook_requests.labels(path, str(response.status)).observe(duration_s)
        return response

    def _reject(self, path: str, status: int, reason: Rejection) -> web.Response:
        """Count a rejected request, and answer it; a status of 200 says a message.

        The log has some of them, without any request data.
        """
        self._metrics.webhook_rejections.labels(path, reason.value).inc()
        if count := self._log_limit.count((path, reason), REFUSALS_LOG_EVERY_S):
            log.warning("webhook_rejected", url_path=path, status=status, reason=reason.value, count=count)
        if status == 200:
            return twiml_response(self._documents.say_and_hang_up(Phrase.UNREACHABLE))
        response = web.Response(status=status, headers={hdrs.ALLOW: "POST"} if status == 405 else None)
        if status in (408, 413):
            response.force_close()  # do not wait for the rest of the body
        return response
