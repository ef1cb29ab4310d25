"""The Kubernetes example: settings that there are, probes that exist, and time to stop."""

import re
from typing import Any

import pytest
import yaml

from conferral.processes.common import KNOWN_SETTINGS
from conferral.runtime.settings import ConsoleSettings, ServiceSettings
from tests.docs.generated import ROOT
from tests.docs.test_blocks import parsed
from tests.docs.test_services import STOPS_WITHIN_S

FILE = ROOT / "deploy" / "kubernetes" / "conferral.yaml"
OBJECTS: list[dict[str, Any]] = list(yaml.safe_load_all(FILE.read_text("utf-8")))
BY_KIND = {kind: [one for one in OBJECTS if one["kind"] == kind] for kind in {one["kind"] for one in OBJECTS}}
CONFIGS = {one["metadata"]["name"]: one["data"] for one in BY_KIND["ConfigMap"]}
PROCESSES = {
    one["spec"]["template"]["spec"]["containers"][0]["name"]: one["spec"]["template"]["spec"]
    for one in BY_KIND["Deployment"]
}
SETTINGS = {"webhooks": ServiceSettings, "worker": ServiceSettings, "console": ConsoleSettings}


def container_of(process: str) -> dict[str, Any]:
    (container,) = PROCESSES[process]["containers"]
    return container


def settings_of(process: str) -> tuple[dict[str, str], set[str]]:
    """The settings in ConfigMaps, and the names of those in the Secret."""
    container = container_of(process)
    plain: dict[str, str] = {}
    for source in container["envFrom"]:
        plain |= CONFIGS[source["configMapRef"]["name"]]
    secrets = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in container["env"]}
    assert all(where["name"] == "conferral" and where["key"] == name for name, where in secrets.items())
    return plain, set(secrets)


@pytest.mark.parametrize("process", SETTINGS)
def test_process_gets_every_setting_that_it_needs_and_none_that_does_not_exist(process: str) -> None:
    plain, secrets = settings_of(process)
    given = {name for name in {*plain, *secrets} if not name.startswith("OTEL_")}
    fields = {str(field.validation_alias): field for field in SETTINGS[process].model_fields.values()}
    assert given <= {*fields}
    assert given <= KNOWN_SETTINGS
    assert {name for name, field in fields.items() if field.is_required()} <= given
    assert not {name for name in plain if re.search("TOKEN|SECRET|REDIS_URL", name)}, "secrets are in the Secret"


def test_routes_lead_to_the_webhooks_without_the_headers_of_a_sign_in_proxy() -> None:
    """As nginx and Caddy: `tests/docs/test_services.py` says which paths are whose."""
    voice, desk = yaml.safe_load_all((FILE.parent / "routes.yaml").read_text("utf-8"))
    (service,) = [one for one in BY_KIND["Service"] if one["metadata"]["name"] == "conferral-webhooks"]
    backend = {"name": "conferral-webhooks", "port": service["spec"]["ports"][0]["port"]}
    found = {}
    for route in (voice, desk):
        (host,) = route["spec"]["hostnames"]
        for rule in route["spec"]["rules"]:
            paths = [match["path"] for match in rule["matches"]]
            assert {one["type"] for one in paths} == {"PathPrefix"}
            removed = [one["requestHeaderModifier"]["remove"] for one in rule.get("filters", [])]
            if "backendRefs" in rule:
                assert rule["backendRefs"] == [backend]
                assert removed == [["X-Conferral-Desk-Secret", "X-Forwarded-Email", "X-Email"]]
            found |= {(host, one["value"]): "backendRefs" in rule for one in paths}
    twilios = dict.fromkeys([("voice.example.com", f"/{one}") for one in ("voice", "callbacks", "media")], True)
    assert found == twilios | {("desk.example.com", "/desk/tokens"): False, ("desk.example.com", "/desk"): True}
    plain = CONFIGS["conferral-calls"]
    assert {plain["CONFERRAL_PUBLIC_URL"], plain["CONFERRAL_DESK_URL"]} == {f"https://{host}" for host, _ in found}


@pytest.mark.parametrize("process", ["webhooks", "worker"])
def test_secrets_that_calls_need_come_from_the_secret(process: str) -> None:
    secret = {
        str(one.validation_alias) for one in ServiceSettings.model_fields.values() if "Secret" in str(one.annotation)
    }
    assert {"CONFERRAL_OUTCOMES_SECRET", "TWILIO_AUTH_TOKEN_SECONDARY"} <= secret
    only_webhooks = {"CONFERRAL_API_TOKEN", "CONFERRAL_DESK_PROXY_SECRET"} if process == "worker" else set()
    assert secret - only_webhooks <= settings_of(process)[1]


@pytest.mark.parametrize("process", SETTINGS)
def test_process_is_started_probed_and_stopped_as_it_expects(process: str) -> None:
    spec, container = PROCESSES[process], container_of(process)
    arguments = container["args"]
    assert arguments[0] == process
    parsed(arguments)
    (port,) = container["ports"]
    assert arguments[arguments.index("--port") + 1] == str(port["containerPort"])
    assert arguments[arguments.index("--host") + 1] == "0.0.0.0", "probes come from outside of the pod"
    paths = {container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")}
    assert paths <= {"/healthz", "/readyz"}
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert spec["terminationGracePeriodSeconds"] > STOPS_WITHIN_S


def test_webhooks_without_redis_keep_getting_requests() -> None:
    assert container_of("webhooks")["readinessProbe"]["httpGet"]["path"] == "/healthz"


def test_selectors_find_the_pods_and_metrics_are_at_their_ports() -> None:
    pods = {one["metadata"]["name"]: one["spec"]["template"]["metadata"] for one in BY_KIND["Deployment"]}
    for one in (*BY_KIND["Deployment"], *BY_KIND["PodDisruptionBudget"]):
        assert one["spec"]["selector"]["matchLabels"] == pods[one["metadata"]["name"]]["labels"]
    for one in BY_KIND["Service"]:
        assert one["spec"]["selector"] == pods[one["metadata"]["name"]]["labels"]
    (policy,) = BY_KIND["NetworkPolicy"]
    assert policy["spec"]["podSelector"]["matchLabels"] == pods[policy["metadata"]["name"]]["labels"]
    assert policy["spec"]["ingress"][0]["ports"][0]["port"] == container_of("worker")["ports"][0]["name"]
    for process in ("webhooks", "worker"):
        annotations = pods[f"conferral-{process}"]["annotations"]
        (port,) = container_of(process)["ports"]
        assert annotations == {"prometheus.io/scrape": "true", "prometheus.io/port": str(port["containerPort"])}


def test_image_is_the_one_that_a_release_pushes() -> None:
    workflow = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
    assert "- name: ${{ github.repository }}\n            file: Dockerfile\n" in workflow
    assert "tags: ghcr.io/${{ matrix.name }}:${{ needs.build.outputs.version }}" in workflow
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert version
    images = {container_of(process)["image"] for process in PROCESSES}
    assert images == {f"ghcr.io/conferral/conferral:{version[1]}"}


def test_kubernetes_schema_takes_the_example() -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for one in OBJECTS:
        validator.validate(one, "1.34", strict=True)
