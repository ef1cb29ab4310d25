"""Settings of every process: the only module that reads the environment.

Names, meanings, and defaults are public: `docs/reference/settings.md` is generated from these classes. Attribute names
carry the unit that the environment variable's name lacks.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, NoDecode, SettingsConfigDict

from conferral.runtime import limits, setting_errors
from conferral.runtime.errors import SettingsError
from conferral.runtime.setting_values import (
    ApiUrl,
    AudioUrl,
    BearerToken,
    DeskUrl,
    Greeting,
    HttpUrl,
    Networks,
    Origins,
    ProxySecret,
    Secret,
    UrlPrefixes,
)
from conferral.runtime.text import join_words
from conferral.runtime.urls import (
    REGION_EDGES,
    is_plain_beyond_loopback,
    valid_header,
    valid_outcomes_url,
    valid_signing_secrets,
)
from conferral.runtime.webhook_keys import valid_webhook_keys


def setting(name: str, meaning: str, default: Any = ..., **limits: Any) -> Any:
    """Return the field of one variable, which is required without a default."""
    return Field(default, validation_alias=name, description=meaning, **limits)


_SOURCES = SettingsConfigDict(
    env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True, env_ignore_empty=True
)


class StoreSettings(BaseSettings):
    """Settings of operator commands: where Redis is."""

    model_config = _SOURCES

    redis_url: str = setting(
        "REDIS_URL",
        "`redis://`, `rediss://`, or `unix://`; nodes of a Redis Cluster with `redis://H1:6379,H2:6379/?cluster=true`; "
        "Sentinels with `redis+sentinel://H1:26379,H2:26379/NAME/0` (`rediss+sentinel://` for TLS; the Sentinels' own "
        "login in `?sentinel_username=` and `?sentinel_password=`); a private CA with `rediss://…?ssl_ca_certs=FILE`",
        "redis://localhost:6379/0",
        pattern=r"^(rediss?(\+sentinel)?|unix)://",
    )
    prefix: str = setting(
        "CONFERRAL_PREFIX",
        "first part of every Redis key; on a cluster in braces, such as `{conferral}`",
        "conferral",
        max_length=64,
        pattern=r"^([A-Za-z0-9_.:-]+|[A-Za-z0-9_.:-]*\{[A-Za-z0-9_.:-]+\}[A-Za-z0-9_.:-]*)$",
    )
    log_format: Literal["console", "json"] | None = setting(
        "CONFERRAL_LOG_FORMAT", "form of the log lines; by default `console` on a terminal, else `json`", None
    )


class DirectorySettings(StoreSettings):
    """Settings of operator commands that take names of the directory."""

    directory: Path | None = setting(
        "CONFERRAL_DIRECTORY",
        "a TOML file with named destinations and options for each called number; a relative path starts at the "
        "working directory of the process",
        None,
    )


class CommandSettings(StoreSettings):
    """Settings of commands that wait for a ring, and of all services."""

    ring_timeout_s: int = setting(
        "CONFERRAL_RING_TIMEOUT",
        "seconds a dialed party may ring, counted from when it starts ringing",
        30,
        ge=limits.RING_TIME_MIN_S,
        le=limits.RING_TIME_MAX_S,
    )


class TokenSettings(DirectorySettings):
    """Settings of what answers to API tokens."""

    api_token: BearerToken | None = setting(
        "CONFERRAL_API_TOKEN",
        "a token of the control API and the console that may do everything, named `api`, of at least 20 "
        "characters. `openssl rand -hex 32` creates one. Without it and CONFERRAL_TOKENS, the API answers "
        "503, and the console doesn't start",
        None,
    )
    tokens: Path | None = setting(
        "CONFERRAL_TOKENS", "a TOML file of named tokens of the API and the console, and of what each may do", None
    )


class DeskSettings(TokenSettings):
    """Settings of sign-ins at desks."""

    desk_url: DeskUrl | None = setting(
        "CONFERRAL_DESK_URL",
        "where browsers reach `/desk`; links, cookies, and the expected `Origin` come from it; by default "
        "`CONFERRAL_PUBLIC_URL`",
        None,
    )
    desk_token_name: str = setting(
        "CONFERRAL_DESK_TOKEN_NAME",
        "the token, with the permission `desk`, in whose name links and the sign-in proxy sign agents in: its "
        "`destinations` apply, and its removal ends their sign-ins",
        "api",
        pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$",
    )


class DeskLinkSettings(DeskSettings):
    """Settings of `desk-link`."""

    public_url: HttpUrl | None = setting("CONFERRAL_PUBLIC_URL", "the URL at which Twilio reaches the webhooks", None)


class ConsoleSettings(TokenSettings):
    """Settings of the web console."""

    public_url: HttpUrl | None = setting(
        "CONFERRAL_PUBLIC_URL",
        "the `http(s)://` URL of the control API, shown in the `curl` commands that the page offers",
        None,
    )
    api_url: ApiUrl = setting(
        "TWILIO_API_URL",
        "unless it is Twilio's own, the page does not link to the Twilio Console",
        "https://api.twilio.com",
    )


class TwilioSettings(StoreSettings):
    """Settings of everything that sends requests to Twilio."""

    account_sid: str = setting("TWILIO_ACCOUNT_SID", "the account", pattern=r"^AC[0-9a-fA-F]{32}$")
    auth_token: Secret = setting("TWILIO_AUTH_TOKEN", "the account's auth token; it also verifies callback signatures")
    api_key: str | None = setting(
        "TWILIO_API_KEY", "an API key, used for REST instead of the auth token", None, pattern=r"^SK[0-9a-fA-F]{32}$"
    )
    api_secret: Secret | None = setting("TWILIO_API_SECRET", "the secret of `TWILIO_API_KEY`", None)
    api_url: ApiUrl = setting(
        "TWILIO_API_URL",
        "base URL of the REST API: the sandbox, a proxy, a compatible provider",
        "https://api.twilio.com",
    )
    region: Literal["us1", "us2", "ie1", "de1", "sg1", "br1", "au1", "jp1"] | None = setting(
        "TWILIO_REGION",
        "Twilio's region: of the REST API, unless `TWILIO_API_URL` is set, and of browser agents. Each region has its "
        "own auth token and API keys",
        None,
    )
    edge: str | None = setting(
        "TWILIO_EDGE",
        "the edge of the REST API; a region other than `us1` needs its own, such as `dublin` for `ie1`",
        None,
        pattern="^[a-z]+(-[a-z]+)*$",
    )


class ServiceSettings(TwilioSettings, CommandSettings, DeskSettings):
    """Settings of the webhooks, the worker, and `check`."""

    auth_token_secondary: Secret | None = setting(
        "TWILIO_AUTH_TOKEN_SECONDARY", "a second token that is accepted in signatures while tokens are rotated", None
    )
    webhook_keys: Annotated[tuple[tuple[str, SecretStr], ...], NoDecode, BeforeValidator(valid_webhook_keys)] = setting(
        "TWILIO_WEBHOOK_KEYS",
        "comma-separated `KEYID=SECRET`: the shared keys with which Twilio signs, if the account has webhook rules "
        "that say so. Signatures of the auth tokens stay valid",
        (),
    )
    twiml_app_sid: str | None = setting(
        "TWILIO_TWIML_APP_SID",
        "the TwiML app of browser agents",
        None,
        pattern=r"^AP[0-9a-fA-F]{32}$",
    )
    number: str = setting(
        "TWILIO_NUMBER",
        "caller ID of the calls that Conferral places, such as `+12025550145`",
        pattern=f"^{limits.NUMBER}$",
    )
    public_url: HttpUrl = setting("CONFERRAL_PUBLIC_URL", "the URL at which Twilio reaches the webhooks")
    agent: str | None = setting(
        "CONFERRAL_AGENT",
        "who an inbound call is connected to",
        None,
    )
    allowed_destinations: str | None = setting(
        "CONFERRAL_ALLOWED_DESTINATIONS",
        "comma-separated list of what may be dialed: regions (`US,GB`), number prefixes (`+4420`), `client:`, SIP "
        "domains (`sip:example.com`; `sip:example.com:5080` if the port is not 5060 or 5061); the region of "
        "`TWILIO_NUMBER` and `client:` by default",
        None,
    )
    partitions: int = setting(
        "CONFERRAL_PARTITIONS", "number of event partitions; fixed at first use", 16, ge=1, le=1024
    )
    convert_timeout_s: float = setting(
        "CONFERRAL_CONVERT_TIMEOUT",
        "seconds one party may wait for the other in a conversion before it is repaired once, then ended",
        5,
        gt=0,
        le=60,
    )
    lone_grace_s: float = setting(
        "CONFERRAL_LONE_GRACE", "seconds one participant may be alone while no one is being dialed", 2, gt=0, le=3600
    )
    park_timeout_s: float = setting(
        "CONFERRAL_PARK_TIMEOUT",
        "seconds a call may stay parked before the fallback applies (default: the agent who parked it is rung)",
        300,
        gt=0,
        le=86_400,
    )
    hold_limit_s: float = setting(
        "CONFERRAL_HOLD_LIMIT",
        "seconds a party may be on hold without a break; then the party is taken off hold, or the consult fails; 0 "
        "for no limit",
        1800,
        ge=0,
        le=86_400,
    )
    sweep_interval_s: float = setting(
        "CONFERRAL_SWEEP_INTERVAL",
        "seconds between comparisons of live sessions with Twilio's live calls",
        30,
        gt=0,
        le=3600,
    )
    dials_per_session: int = setting(
        "CONFERRAL_DIALS_PER_SESSION",
        "how many dials by REST all sessions of one call together may place; 0 for no limit",
        30,
        ge=0,
        le=10_000,
    )
    dials_per_minute: int = setting(
        "CONFERRAL_DIALS_PER_MINUTE",
        "how many dials by REST the whole installation may place in any 60 s; 0 for no limit",
        0,
        ge=0,
        le=1_000_000,
    )
    confirm: Literal["asked", "phones"] = setting(
        "CONFERRAL_CONFIRM",
        "`asked`: only where a command says `confirm`; `phones`: every phone number dialed by REST must press 1",
        "asked",
    )
    session_ttl_s: int = setting(
        "CONFERRAL_SESSION_TTL", "seconds an ended session stays in Redis (retention)", 86_400, ge=60, le=31_536_000
    )
    outcomes_kept: int = setting(
        "CONFERRAL_OUTCOMES_KEPT",
        "approximate number of entries that the outcomes stream keeps",
        100_000,
        ge=100,
        le=100_000_000,
    )
    outcomes_ttl_s: int = setting(
        "CONFERRAL_OUTCOMES_TTL",
        "seconds that outcomes and dead letters are kept, approximately",
        2_592_000,
        ge=60,
        le=315_360_000,
    )
    outcomes_url: Annotated[str, AfterValidator(valid_outcomes_url)] | None = setting(
        "CONFERRAL_OUTCOMES_URL", "where workers send outcomes", None
    )
    outcomes_secret: Annotated[SecretStr, AfterValidator(valid_signing_secrets)] | None = setting(
        "CONFERRAL_OUTCOMES_SECRET",
        "signs them: `whsec_` and what `openssl rand -base64 32` prints; two while rotating",
        None,
    )
    outcomes_insecure: bool = setting(
        "CONFERRAL_OUTCOMES_INSECURE",
        "`true` also allows http:// to private addresses (RFC 1918, `fc00::/7`); the address connected to counts",
        False,
    )
    outcomes_header: Annotated[SecretStr, AfterValidator(valid_header)] | None = setting(
        "CONFERRAL_OUTCOMES_HEADER",
        "`Name: value`, a header that is sent along, such as a gateway's key; not `Host`, `Content-…`, "
        "`Transfer-Encoding`, or `webhook-…`",
        None,
    )
    drain_s: float = setting(
        "CONFERRAL_DRAIN",
        "seconds for which `webhooks` keeps serving after SIGTERM, so that a load balancer can take it out: `/readyz` "
        "lists `draining`, and `/healthz` stays 200",
        3.0,
        ge=0,
        le=8,
    )
    dials_per_identity: int = setting(
        "CONFERRAL_DIALS_PER_IDENTITY",
        "how many calls one browser identity may place in any 60 s, across all webhooks processes; 0 for no limit",
        30,
        ge=0,
        le=10_000,
    )
    transfer_fallback: str = setting(
        "CONFERRAL_TRANSFER_FALLBACK",
        "where the customer goes after a failed blind transfer or a park that timed out: places that are tried in "
        "order, such as `recall`, which rings the agent twice; `end` and a URL must be last",
        "recall",
    )
    inbound_fallback: str = setting(
        "CONFERRAL_INBOUND_FALLBACK",
        "the same for an inbound caller whose call no agent takes, without `recall`; with `queue`, callers may wait",
        "end",
    )
    handoff_destinations: str = setting(
        "CONFERRAL_HANDOFF_DESTINATIONS",
        "what `to` and `fallback` inside `HandoffData` may name, in the same form as CONFERRAL_ALLOWED_DESTINATIONS, "
        "which it can only narrow; names of the directory are always allowed",
        "client:",
    )
    voicemail_greeting: Greeting | None = setting(
        "CONFERRAL_VOICEMAIL_GREETING", "what a caller hears before the tone; by default a short message", None
    )
    voicemail_limit_s: int = setting(
        "CONFERRAL_VOICEMAIL_LIMIT", "length of the longest message in seconds", 120, ge=2, le=14_400
    )
    return_urls: UrlPrefixes = setting(
        "CONFERRAL_RETURN_URLS",
        "comma-separated prefixes of URLs to which a caller may be sent; a URL matches if scheme, host, and port are "
        "equal, and its path starts with the prefix's at a `/`; one with user, fragment, or dot segments never matches",
        (),
    )
    desk_origins: Origins = setting(
        "CONFERRAL_DESK_ORIGINS",
        "comma-separated https origins (http on loopback) whose pages may embed the desk",
        (),
    )
    desk_proxy_header: str | None = setting(
        "CONFERRAL_DESK_PROXY_HEADER",
        "the header in which a sign-in proxy in front of the desk names the person",
        None,
        pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$",
    )
    desk_proxy_from: Networks = setting(
        "CONFERRAL_DESK_PROXY_FROM", "the addresses or networks from which the header is believed", ()
    )
    desk_proxy_secret: ProxySecret | None = setting(
        "CONFERRAL_DESK_PROXY_SECRET", "the secret that the proxy adds in `X-Conferral-Desk-Secret`", None
    )
    transfer_caller_id: Literal["business", "customer"] = setting(
        "CONFERRAL_TRANSFER_CALLER_ID",
        "the caller ID of dials in inbound sessions, unless the command has `caller_id`: `business` (the number that "
        "was called) or `customer` (the caller's number; falls back once to `business` if Twilio refuses it)",
        "business",
    )
    music: AudioUrl | None = setting("CONFERRAL_MUSIC", "the hold music; by default a short built-in file", None)
    ringback: AudioUrl | None = setting(
        "CONFERRAL_RINGBACK",
        "the ringback tone for a waiting party while another phone rings; by default built in",
        None,
    )
    greeting: Greeting | None = setting(
        "CONFERRAL_GREETING", "message that callers hear first when they wait in a conference", None
    )
    record: Literal["false", "true", "customer"] = setting(
        "CONFERRAL_RECORD",
        "`true` records conferences from their start (paused in a consult); `customer` records the customer's call "
        "in two channels",
        "false",
    )
    language: str = setting(
        "CONFERRAL_LANGUAGE",
        "language of all speech",
        "en-US",
        pattern=rf"^(?:{'|'.join(limits.LANGUAGES)})(?:-[A-Za-z0-9]{{2,8}})?$",
    )
    voice: str | None = setting(
        "CONFERRAL_VOICE",
        "voice of every spoken message; Twilio's default if unset",
        None,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
    )


AnySettings = TypeVar("AnySettings", bound=StoreSettings)


def load(kind: type[AnySettings], environ: Mapping[str, str] | None = None) -> AnySettings:
    """Load settings from the environment and `.env`, or from `environ` alone.

    A SettingsError names all settings that are invalid or missing.
    """
    arguments: dict[str, Any] = {}
    if environ is not None:
        known = {str(field.validation_alias) for field in kind.model_fields.values()}
        arguments = {name: value for name, value in environ.items() if name in known and value != ""}
        kind = cast("type[AnySettings]", _without_sources(kind))
    try:
        settings = kind(**arguments)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise SettingsError(tuple(_describe_problem(kind, problem) for problem in problems)) from None
    except (OSError, UnicodeError) as error:
        reason = "not UTF-8" if isinstance(error, UnicodeError) else (error.strerror or type(error).__name__).lower()
        raise SettingsError((f".env: can't be read ({reason})",)) from None
    if isinstance(settings, TwilioSettings):
        _require_together(TWILIO_API_KEY=settings.api_key, TWILIO_API_SECRET=settings.api_secret)
        if (settings.region or settings.edge) and "api_url" not in settings.model_fields_set:
            settings = settings.model_copy(update={"api_url": _regional_url(settings.region or "us1", settings.edge)})
    if isinstance(settings, ServiceSettings):
        pair = {"CONFERRAL_OUTCOMES_URL": settings.outcomes_url, "CONFERRAL_OUTCOMES_SECRET": settings.outcomes_secret}
        _require_together(**pair)
        _require_together(
            CONFERRAL_DESK_PROXY_HEADER=settings.desk_proxy_header,
            CONFERRAL_DESK_PROXY_FROM=settings.desk_proxy_from,
            CONFERRAL_DESK_PROXY_SECRET=settings.desk_proxy_secret,
        )
        if settings.outcomes_url and not settings.outcomes_insecure and is_plain_beyond_loopback(settings.outcomes_url):
            why = "http:// only on loopback, and with CONFERRAL_OUTCOMES_INSECURE=true to private addresses"
            raise SettingsError((f"CONFERRAL_OUTCOMES_URL: {why}; use https://",))
    if isinstance(settings, ConsoleSettings) and settings.api_token is None and settings.tokens is None:
        why = "the console needs it or CONFERRAL_TOKENS; `openssl rand -hex 32` creates one"
        raise SettingsError((f"CONFERRAL_API_TOKEN: missing; {why}",))
    return settings


def _regional_url(region: str, edge: str | None) -> str:
    """Return the URL of the REST API; raise SettingsError for a wrong edge."""
    needed = REGION_EDGES.get(region)
    if needed and edge != needed:
        found = f'"{edge}" is not the edge of region {region}' if edge else f"missing; region {region} needs its edge"
        raise SettingsError((f"TWILIO_EDGE: {found}: TWILIO_EDGE={needed}; or set TWILIO_API_URL",))
    return f"https://{'.'.join(filter(None, ('api', edge, region, 'twilio.com')))}"


def _require_together(**values: object) -> None:
    """Raise SettingsError if only some of the settings are given."""
    missing = [name for name, value in values.items() if not value]
    if 0 < len(missing) < len(values):
        raise SettingsError(tuple(f"{name}: missing; {join_words([*values], 'and')} go together" for name in missing))


@cache
def _without_sources(kind: type[StoreSettings]) -> type[StoreSettings]:
    """Return a class that reads no sources; creating one takes 8 ms."""

    def only_given(
        _cls: type[BaseSettings], _kind: type[BaseSettings], /, init_settings: Any, **_others: Any
    ) -> tuple[Any, ...]:
        return (init_settings,)

    return type(kind.__name__, (kind,), {"settings_customise_sources": classmethod(only_given), "__module__": __name__})


def _describe_problem(kind: type[StoreSettings], problem: Any) -> str:
    """Return the line about one of pydantic's errors (`ErrorDetails`)."""
    name = str(problem["loc"][0])
    field = next(field for field in kind.model_fields.values() if field.validation_alias == name)
    if problem["type"] == "missing":
        return setting_errors.describe_missing(name, field)
    error = problem.get("ctx", {}).get("error")
    reason = str(error) if isinstance(error, setting_errors.ExplainedError) else ""
    return setting_errors.describe_invalid(name, problem["input"], field, reason)


def read_sources() -> tuple[dict[str, str], dict[str, str]]:
    """Return the environment's and `.env`'s values (secrets, too) by name."""
    sources = (EnvSettingsSource(ServiceSettings), DotEnvSettingsSource(ServiceSettings))
    variables = (source.env_vars.items() for source in sources)
    environment, file = ({name.upper(): value for name, value in items if value} for items in variables)
    return environment, file
