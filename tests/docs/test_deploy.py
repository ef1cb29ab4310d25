"""What an operator installs next to it: alerting rules and a dashboard name only metrics and labels that there are."""

import json
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from conferral.runtime.log import KEYS
from conferral.runtime.metrics import Metrics
from conferral.statemachine.effects import EFFECTS
from conferral.statemachine.states import State
from conferral.storage.connection.errors import SILENT_STATES, STATES
from tests.docs.generated import ROOT, load_script
from tests.docs.markdown_files import each_page
from tests.docs.test_links import anchors_of
from tests.support.each import each

DEPLOY = ROOT / "deploy"
RUNBOOKS = "https://github.com/conferral/conferral/blob/main/"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text("utf-8"))["groups"] for rule in group["rules"]
]
DASHBOARD = json.loads((DEPLOY / "dashboard.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [target["expr"] for panel in PANELS for target in panel["targets"]]
#: Labels that Prometheus adds, and those of a histogram's buckets.
ADDED = {"instance", "job", "le"}
FUNCTIONS = {"histogram_quantile", "increase", "max", "max_over_time", "min", "rate", "sum", "time", "vector"}
SERIES_USED = re.compile(r"(conferral_\w+)(\{[^{}]*\})?")
GROUPED = re.compile(r"\b(?:by|on|group_left) ?\(([^()]*)\)")
MATCHER = re.compile(r'(\w+)(=|!=|=~|!~)"([^"]*)"')


def labels_by_series() -> dict[str, tuple[set[str], str]]:
    """Labels and help of every series that the product exposes, by its name as Prometheus has it."""
    found: dict[str, tuple[set[str], str]] = {}
    metrics = Metrics()
    for family in metrics.registry.collect():
        ends = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}[family.type]
        name = family.name + ("_total" if family.type == "counter" else "")
        for end in ends if name in metrics.labels else ():
            found[family.name + end] = ({*metrics.labels[name]}, family.documentation)
    return found


SERIES = labels_by_series()


def check(expression: str) -> None:
    """Holds an expression against what is exposed; whether it is one, `promtool` knows in full."""
    assert {*re.findall(r"(\w+) ?\(", expression)} <= FUNCTIONS | {"and", "by", "group_left", "on", "or", "unless"}
    assert expression.count("(") == expression.count(")")
    for series, matchers in SERIES_USED.findall(expression):
        assert series in SERIES, f"{series} is no metric"
        labels, reported = SERIES[series]
        for label, _, value in MATCHER.findall(matchers):
            assert label in labels, f"{series} has no {label}"
            check_value(label, value, reported)
    known = ADDED.union(*(SERIES[one][0] for one in of_metrics(expression)))
    assert {label for names in GROUPED.findall(expression) for label in re.findall(r"\w+", names)} <= known, expression


def of_metrics(expression: str) -> set[str]:
    return {*re.findall(r"conferral_\w+", expression)}


def check_value(label: str, value: str, expected: str) -> None:
    """A value is one that the metric's help names, a state, an HTTP status, or a path."""
    for one in value.split("|"):
        known = label == "status" and re.fullmatch(r"[1-5]\d\d", one)
        known = known or (label == "route" and one.startswith("/voice/")) or (label == "state" and one in {*State})
        assert known or re.search(rf"\b{re.escape(one)}\b", expected), f"no {label} is {one}"


@each("expression", EXPRESSIONS)
def test_expressions_are_made_of_metrics_and_labels_that_there_are(expression: str) -> None:
    check(expression)
    assert of_metrics(expression) or expression == "vector(0)"


@each("rule", RULES)
def test_every_alert_says_what_is_wrong_and_leads_to_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    shown = rule["annotations"]
    assert shown.keys() == {"summary", "description", "meaning", "check", "action", "runbook_url"}
    assert all(shown.values())
    page, _, anchor = shown["runbook_url"].removeprefix(RUNBOOKS).partition("#")
    assert anchor == rule["alert"].lower()
    assert anchor in anchors_of(ROOT / page)
    # Labels that a description fills in are those that are left of the series.
    for label in re.findall(r"\$labels\.(\w+)", shown["description"]):
        assert f"by ({label})" in rule["expr"]


@each("rule", RULES)
def test_alert_on_any_increase_also_fires_for_a_new_series(rule: dict[str, Any]) -> None:
    for counter in re.findall(r"increase\((\S+)\[\w+\]\)\) > 0(?!\.)", rule["expr"]):
        assert f"{counter} unless {counter} offset" in rule["expr"], f"{rule['alert']} misses the first increment"


def test_a_comment_above_each_rule_explains_its_threshold() -> None:
    lines = (DEPLOY / "alerts.yml").read_text("utf-8").splitlines()
    bare = [line for above, line in pairwise(lines) if "- alert:" in line and not above.strip().startswith("# ")]

    assert bare == []


@each_page
def test_metrics_that_pages_name_exist(markdown: Path) -> None:
    # Without the fixtures of the pytest plug-in.
    named = {*re.findall(r"`(conferral_(?!stack)[a-z_]+)", markdown.read_text("utf-8"))}

    assert named - {name.removesuffix("_bucket") for name in SERIES} == set()


@each("name", ["operating.md", "reference/alerts.md"])
def test_log_events_that_pages_for_operators_name_exist(name: str) -> None:
    page = (ROOT / "docs" / name).read_text("utf-8")
    named = {*re.findall(r"`([a-z]+(?:_[a-z]+)+)`", page)} - {name.removesuffix("_bucket") for name in SERIES}
    others = KEYS | {"trace_id"} | {effect.kind for effect in EFFECTS}

    assert named - others - load_script("log_events_page").MEANINGS.keys() == set()


def test_every_metric_of_ours_is_watched_or_shown() -> None:
    used = {name.removesuffix("_bucket").removesuffix("_count") for text in EXPRESSIONS for name in of_metrics(text)}
    made = {name for name in SERIES if not name.endswith(("_bucket", "_count", "_sum"))}
    made |= {name.removesuffix("_bucket") for name in SERIES if name.endswith("_bucket")}
    assert made - used == {"conferral_sweep_pages_total"}


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Any) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on PATH")
    cases = (ROOT / "tests" / "docs" / "alerts_cases.yml").read_text("utf-8")
    (tmp_path / "cases.yml").write_text(cases.replace("[ALERTS]", f"[{DEPLOY / 'alerts.yml'}]"), "utf-8")
    ran = subprocess.run([promtool, "test", "rules", "cases.yml"], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_page_for_operators_explains_every_state_of_redis() -> None:
    rows = (ROOT / "docs" / "reference" / "readyz.md").read_text("utf-8")
    explained = {words.removeprefix("redis: ") for words in re.findall("`([^`]+)`", rows)}

    assert {*STATES.values(), *SILENT_STATES} - explained == set()
