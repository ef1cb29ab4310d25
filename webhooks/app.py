"""The webhooks application: routes, and what answers for a failed one."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from urllib.parse import unquote, urlsplit

import structlog
from aiohttp import hdrs, web

from conferral.runtime import tracing
from conferral.runtime.clock import Clock
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.lifecycle import Draining
from conferral.runtime.log import REFUSALS_LOG_EVERY_S, LogRateLimit
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ServiceSettings
from conferral.runtime.web.server import monitoring_handlers
from conferral.runtime.web.tokens import Tokens
from conferral.storage.agreed_config import AgreedConfig
from conferral.storage.webhook_store.store import ReplayedCallError, WebhookStore
from conferral.telephony.addresses import parse_address
from conferral.telephony.callback_events import MalformedCallbackError, call_sid_of, error_url_of, is_outbound_leg
from conferral.telephony.callback_urls import (
    ANNOUNCEMENT_PATH,
    CALL_PATH,
    CHECK_SESSION,
    CONFERENCE_PATH,
    DIAL_ACTION_PATH,
    FALLBACK_PATH,
    GATE_PATH,
    HANDOFF_PATH,
    RECORDING_PATH,
    VOICEMAIL_PATH,
    WAIT_PATH,
    CallbackUrlError,
    CallbackUrls,
)
from conferral.telephony.directory import DirectoryFile
from conferral.telephony.phrases import Phrase
from conferral.telephony.twilio_queries import TwilioQueries
from conferral.telephony.twiml import HANG_UP, TwimlBuilder
from conferral.webhooks.authentication import Form, RequestAuthenticator, Rules
from conferral.webhooks.dial_action import DialActionRoutes
from conferral.webhooks.gate import GateRoutes
from conferral.webhooks.handoff import HandoffRoutes
from conferral.webhooks.handoff_options import HandoffParser
from conferral.webhooks.responses import Dependencies, RejectedError, Rejection, Routes, twiml_response
from conferral.webhooks.route_store import NoRedisStore
from conferral.webhooks.server import Health
from conferral.webhooks.status_callbacks import STATUS_PATH, CallbackRoutes
from conferral.webhooks.visits import TooManyVisitsError, Visits
from conferral.webhooks.voice import CONFERENCE_START_PATH, INBOUND_PATH, VoiceRoutes
from conferral.webhooks.voice_client import CLIENT_PATH, ClientRoutes
from conferral.webhooks.wait_url import PATHS, AnnouncementRoutes, WaitRoutes, send_audio

#: Answers an authenticated request: its form and its raw query.
Action = Callable[[Form, str], Awaitable[web.Response]]

#: The voice URLs: whatever a signed request contains, the caller hears a message.
VOICE_URL_PATHS = frozenset({INBOUND_PATH, CONFERENCE_START_PATH, CLIENT_PATH, FALLBACK_PATH, HANDOFF_PATH})
#: Paths that always answer with TwiML, at least with one that ends the call.
_ALWAYS_TWIML = VOICE_URL_PATHS | {VOICEMAIL_PATH}
#: Paths whose caller waits for TwiML. Twilio repeats the others after a 500, or a sweep finds out.
_RESCUED = _ALWAYS_TWIML | {DIAL_ACTION_PATH, GATE_PATH, WAIT_PATH}
_NEW_CALLS = frozenset({INBOUND_PATH, CONFERENCE_START_PATH, HANDOFF_PATH})
#: Unknown keys that get log lines of their own within a minute, count: anyone may send any number of ids.
KEYS_LOGGED_MAX = 20

log = structlog.get_logger()

_EXPECTED_ERRORS = (
    RejectedError, ReplayedCallError, TooManyVisitsError, CallbackUrlError, MalformedCallbackError
)  # fmt: skip


def make_app(
    settings: ServiceSettings,
    store: WebhookStore,
    twilio: TwilioQueries,
    metrics: Metrics,
    clock: Clock,
    directory: DirectoryFile | None = None,
    agreed: AgreedConfig | None = None,
    draining: Draining | None = None,
    tokens: Tokens | None = None,
) -> web.Application:
    """Return the application; the caller opens and closes its dependencies.

    Load the directory once, unless the caller reloads a given one. Raise SettingsError if that or a setting is invalid.
    """
    app = web.Application()
    dependencies = Dependencies.of(settings, store, twilio, metrics, directory or DirectoryFile(settings), clock)
    signed = signed_routes(dependencies)
    health = Health(store, agreed, draining)

    async def warnings() -> list[str]:
        return [*([tokens.problem] if tokens and tokens.problem else []), *await health.warnings()]

    monitoring = monitoring_handlers(metrics, health.problems, warnings)
    rescue = Rescue(dependencies, signed_routes(replace(dependencies, store=NoRedisStore())))
    answers = _Answers(dependencies, rescue, clock)
    # A proxy may strip the public URL's path or keep it. The router escapes paths by itself.
    for prefix in dict.fromkeys(("", unquote(urlsplit(settings.public_url).path))):
        for path, action in signed.items():
            rules = Rules(
                bool(prefix),
                is_voice=path.startswith("/voice/"),
                is_new_call=path in VOICE_URL_PATHS,
            )
            app.router.add_route(hdrs.METH_ANY, prefix + path, partial(answers.answer, path, action, rules))
        for path in PATHS.values():
            app.router.add_get(prefix + path, partial(send_audio, path))
        for path, handler in monitoring.items():
            app.router.add_get(prefix + path, handler)
    return app


def signed_routes(dependencies: Dependencies) -> dict[str, Action]:
    """Return the handlers of authenticated requests from Twilio, by path."""
    gate = GateRoutes(dependencies)
    visits = Visits(dependencies)
    actions = DialActionRoutes(dependencies, visits=visits)
    client = ClientRoutes(dependencies, visits=visits)
    routing = dependencies.routing
    parser = HandoffParser(dependencies.settings, routing.destinations, routing.allowed, dependencies.metrics)
    voice = VoiceRoutes(dependencies, actions=actions, gate=gate, client=client, visits=visits, parser=parser)
    callbacks = CallbackRoutes(dependencies, visits=visits)
    return {
        INBOUND_PATH: voice.inbound,
        CONFERENCE_START_PATH: voice.conference,
        CLIENT_PATH: client.client,
        FALLBACK_PATH: voice.fallback,
        HANDOFF_PATH: HandoffRoutes(dependencies, voice=voice, parser=parser).handoff,
        DIAL_ACTION_PATH: actions.dial_action,
        GATE_PATH: gate.gate,
        WAIT_PATH: WaitRoutes(dependencies).wait,
        ANNOUNCEMENT_PATH: AnnouncementRoutes(dependencies).announcement,
        STATUS_PATH: callbacks.number_status,
        CALL_PATH: callbacks.call,
        CONFERENCE_PATH: callbacks.conference,
        RECORDING_PATH: callbacks.recording,
        VOICEMAIL_PATH: callbacks.voicemail,
    }


def _end_of_call(documents: TwimlBuilder, path: str) -> web.Response:
    """Hang up, with a message unless the caller has left one."""
    is_over = path == VOICEMAIL_PATH
    return twiml_response(HANG_UP if is_over else documents.say_and_hang_up(Phrase.UNREACHABLE))


class Rescue(Routes):
    """Answers a voice request whose handler failed unexpectedly.

    The caller waits for TwiML. So the same handler runs once more without Redis, and asks again where it can. If that
    fails, too, a new caller is bridged to the first agent, using only fields that every call has.
    """

    def __init__(self, dependencies: Dependencies, handlers_without_redis: Mapping[str, Action]) -> None:
        super().__init__(dependencies)
        self._handlers_without_redis = handlers_without_redis

    async def answer(self, path: str, form: Form, query: str, passing: tuple[type[Exception], ...]) -> web.Response:
        """Return TwiML for a waiting caller, else 500. Raise errors of `passing`."""
        if path not in _RESCUED:
            return web.Response(status=500)
        response: web.Response | None = None
        with contain(ItemKind.WEBHOOK, self._metrics, passing=passing, url_path=path) as failure:
            response = await self._handlers_without_redis[path](form, query)
        if failure:
            with contain(ItemKind.WEBHOOK, self._metrics, passing=passing, url_path=path):
                if path in _NEW_CALLS or (path == FALLBACK_PATH and self._is_of_caller(form, query)):
                    response = twiml_response(self._bridge_to_first_agent(form))
        if response is not None:
            return response
        if path in _ALWAYS_TWIML:
            return _end_of_call(self._documents, path)
        return web.Response(status=500)  # Twilio then requests the fallback URL

    def _is_of_caller(self, form: Form, query: str) -> bool:
        urls = CallbackUrls(self._settings.public_url)
        return not is_outbound_leg(form) or urls.handoff_query(error_url_of(form), query) is not None

    def _bridge_to_first_agent(self, form: Form) -> str:
        """Ring the first agent, who sees our number: the caller's may be at fault."""
        agents = self._route_of_new_call(form).agents
        if not agents:
            return self._documents.say_and_hang_up(Phrase.NO_ONE_AVAILABLE)
        return self._documents.bridge_to_agent(
            call_sid_of(form),
            parse_address(agents[0]),
            caller="",
            own_number=self._settings.number,
            ring_timeout_s=self._settings.ring_timeout_s,
            without_redis=True,
        )


class _Answers:
    """Answers requests on signed paths."""

    def __init__(self, dependencies: Dependencies, rescue: Rescue, clock: Clock) -> None:
        self._authenticator = RequestAuthenticator(dependencies.settings)
        self._region = dependencies.settings.region
        self._documents = dependencies.documents
        self._metrics = dependencies.metrics
        self._rescue = rescue
        self._clock = clock
        self._log_limit = LogRateLimit(clock.monotonic_s)
        #: By id, so that no other key hides a key's line.
        self._key_log_limit = LogRateLimit(clock.monotonic_s, KEYS_LOGGED_MAX)

    async def answer(self, path: str, action: Action, rules: Rules, request: web.Request) -> web.Response:
        """Authenticate a request, and answer it, whatever its handler raises."""
        started_s = self._clock.monotonic_s()
        form: Form | None = None
        query = request.raw_path.partition("?")[2]
        try:
            with contain(ItemKind.WEBHOOK, self._metrics, passing=_EXPECTED_ERRORS, url_path=path) as failure:
                form = await self._authenticator.authenticate(request, rules)
                about = {"http.request.method": request.method, "http.route": path}
                with tracing.span(f"{request.method} {path}", about, "server", parent=""):
                    response = await action(form, query)
                    tracing.annotate({"http.response.status_code": response.status})
            if failure:
                response = web.Response(status=500)
                if form is not None:
                    response = await self._rescue.answer(path, form, query, _EXPECTED_ERRORS)
        except RejectedError as error:
            # A repeated field has been signed by Twilio, so a new caller hears a message instead of an error.
            is_message = error.reason is Rejection.REPEATED_FIELD and rules.is_new_call
            response = self._reject(path, 200 if is_message else error.status, error.reason, error.key_id)
        except ReplayedCallError:
            if count := self._log_limit.count((path, "replayed"), REFUSALS_LOG_EVERY_S):
                log.warning("webhook_replayed", url_path=path, count=count)
            response = twiml_response(HANG_UP)
        except TooManyVisitsError:
            response = twiml_response(self._documents.say_and_hang_up(Phrase.UNREACHABLE))
        except (CallbackUrlError, MalformedCallbackError) as error:
            reason = Rejection.MALFORMED_URL if isinstance(error, CallbackUrlError) else Rejection.MALFORMED_FIELD
            response = self._reject(path, 200 if path in _ALWAYS_TWIML else 400, reason)
        if path == ANNOUNCEMENT_PATH and CHECK_SESSION in query:
            return response  # `conferral check` sends unsigned requests on purpose: no one was refused
        duration_s = self._clock.monotonic_s() - started_s
        self._metrics.webhook_requests.labels(path, str(response.status)).observe(duration_s)
        return response

    def _reject(self, path: str, status: int, reason: Rejection, key_id: str = "") -> web.Response:
        """Count and answer a rejected request; with 200, end the call.

        The log has some of them, without any request data but the id of an unknown key.
        """
        self._metrics.webhook_rejections.labels(path, reason.value).inc()
        if reason is Rejection.UNKNOWN_KEY:
            if count := self._key_log_limit.count(key_id, REFUSALS_LOG_EVERY_S):
                log.warning("webhook_key_unknown", key_id=key_id, setting="TWILIO_WEBHOOK_KEYS", count=count)
        elif count := self._log_limit.count((path, reason), REFUSALS_LOG_EVERY_S):
            cause = {}
            if self._region and reason is Rejection.WRONG_SIGNATURE:
                cause["possible_cause"] = f"TWILIO_AUTH_TOKEN is not that of TWILIO_REGION {self._region}"
            log.warning("webhook_rejected", url_path=path, status=status, reason=reason.value, count=count, **cause)
        if status == 200:
            return _end_of_call(self._documents, path)
        response = web.Response(status=status, headers={hdrs.ALLOW: "POST"} if status == 405 else None)
        response.force_close()  # don't wait for the rest of a body, nor for a stranger's next request
        return response
