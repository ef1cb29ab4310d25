"""Generate the reference pages of the settings and of the metrics."""

from typing import Any

from page_parts import page, prose, table, words

from conferral.runtime import setting_errors
from conferral.runtime.metrics import Metrics
from conferral.runtime.settings import ConsoleSettings, ServiceSettings, StoreSettings


def settings_page() -> str:
    """Return every setting with its meaning, default, and range."""
    intro = prose(
        "Every process reads its settings once, at start, from the environment and from a file `.env` in the working "
        "directory; the environment wins. An empty value counts as absent. If settings are missing or invalid, the "
        "process prints one line for each and exits with code 2. To change a setting, restart the process. Only the "
        "[directory](../directory.md) and the [tokens](../api.md#named-tokens) can be reloaded. Start from "
        "[`.env.example`](../../.env.example)."
    )
    of_store = set(StoreSettings.model_fields)
    same = _same_names(of_store)
    pair = prose(
        "Set `TWILIO_API_KEY` and `TWILIO_API_SECRET` together, and the three `CONFERRAL_DESK_PROXY_…`: some without "
        "the others are refused."
    )
    return page(
        "conferral/runtime/settings.py", "# Settings\n", intro,
        "## Read by every process and every command\n", _settings_table(StoreSettings, set()),
        "## Also read by webhooks, worker, and check\n", _settings_table(ServiceSettings, of_store), pair,
        "## Also read by the console\n", f"{words(same.values())}, and with another meaning:\n",
        _settings_table(ConsoleSettings, of_store | {*same}),
    )  # fmt: skip


def _same_names(without: set[str]) -> dict[str, str]:
    """Return the variables that console and services read alike, by attribute."""
    services = ServiceSettings.model_fields
    return {
        name: str(field.validation_alias)
        for name, field in ConsoleSettings.model_fields.items()
        if name not in without and name in services and field.description == services[name].description
    }


def _settings_table(kind: type[StoreSettings], without: set[str]) -> str:
    rows = []
    for name, field in kind.model_fields.items():
        if name in without:
            continue
        if field.is_required():
            default = "**required**"
        elif field.default in (None, ()):
            default = "none"
        else:
            default = f"`{_shown(field.default)}`"
        accepted = setting_errors.valid_values(str(field.validation_alias), field)[0]
        rows.append((f"`{field.validation_alias}`", field.description or "", default, accepted))
    return table(("Name", "Meaning", "Default", "Accepted"), rows)


def _shown(value: Any) -> str:
    """Return a default as the environment would write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def metrics_page() -> str:
    """Return every metric with its labels, by kind."""
    metrics = Metrics()
    rows: dict[str, list[tuple[str, str, str]]] = {"counter": [], "gauge": [], "histogram": []}
    for family in metrics.registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        if name in metrics.labels:
            rows[family.type].append((f"`{name}`", words(metrics.labels[name]), family.documentation))
    intro = prose(
        "`GET /metrics` answers in the Prometheus text format: always on the webhooks' port, and on a worker's "
        "`--port`. Labels never contain ids or addresses. Times are in seconds. Each process counts separately; sum "
        "over processes. Only workers export gauges, except those that name webhooks. Each process also exports the "
        "Prometheus client's own `process_*` and `python_info`. [Alerts](alerts.md) say what to "
        "watch, and what to do."
    )
    tables = (f"## {kind.title()}s\n\n{table(('Name', 'Labels', 'Meaning'), found)}" for kind, found in rows.items())
    return page("conferral/runtime/metrics.py", "# Metrics\n", intro, *tables)
