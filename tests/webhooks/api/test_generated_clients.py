"""Generated clients: the description leads to no odd types, and the TypeScript client compiles."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conferral.webhooks.api import openapi
from tests.docs.markdown_files import ROOT

HTTP = openapi.document("https://example.com")
SCHEMAS = HTTP["components"]["schemas"]


#: `package-lock.json` pins the packages that `npm ci` installs here.
PACKAGES = Path(__file__).parent / "typescript"

PROGRAM = """
import type { components, operations } from "./api"

type Schemas = components["schemas"]
type Session = Schemas["Session"]
type Body = operations["submit_command"]["requestBody"]["content"]["application/json"]

export const isHeld = (session: Session): boolean => session.parties["customer"]?.held ?? false
export const next = (session: Session): number => session.version + 1
export const place = (session: Session): string => session.transfer?.to ?? session.conference?.name ?? ""
export const rang = (outcome: Schemas["Outcome"]): number =>
    (outcome.attempts ?? []).reduce((sum, attempt) => sum + (attempt.rang_s ?? 0), 0)
export const transfer: Body = { type: "transfer", to: "client:bob", mode: "warm", confirm: true, timeout: 20 }
export const announce: Body = { type: "announce", say: "Hello." }
export const call: Schemas["CallCommand"] = { agent: "client:alice", customer: "+14155550145" }
export const query: operations["list_sessions"]["parameters"]["query"] = { state: "bridged", limit: 20 }
export const effects = (entry: Schemas["LogEntry"]): string[] => entry.effects.map(effect => effect.kind)

// @ts-expect-error it has no target
export const nowhere: Body = { type: "transfer", mode: "warm" }
// @ts-expect-error a boolean
export const held: string = ({} as Schemas["Party"]).held
"""


def properties():
    for name, schema in SCHEMAS.items():
        for field, one in schema.get("properties", {}).items():
            yield name, field, one, field in schema.get("required", ())


def test_no_field_with_a_default_is_required():
    assert [(name, field) for name, field, one, is_required in properties() if is_required and "default" in one] == []


def test_unions_have_names_or_are_of_one_type_and_null():
    def is_plain(forms):
        return forms is None or (len(forms) == 2 and "$ref" in forms[0] and forms[1] == {"type": "null"})

    assert [(name, field) for name, field, one, _ in properties() if not is_plain(one.get("anyOf"))] == []
    assert {name for name, schema in SCHEMAS.items() if "anyOf" in schema} == {"ConfirmTime", "Flag", "RingTime"}


def test_words_of_sessions_and_outcomes_are_named_types():
    named = {(name, field) for name, field, one, _ in properties() if "enum" in one and not name.endswith("Command")}
    # Empty text is among these.
    assert named == {("CommandOutcome", "status"), *(("LogEntry", field) for field in ("from", "to", "outcome"))}
    assert {
        "State",
        "Phase",
        "PartyStatus",
        "TransferMode",
        "TransferStatus",
        "Direction",
        "OutcomeKind",
    } <= SCHEMAS.keys()
    assert "" not in SCHEMAS["Phase"]["enum"]


def test_only_requests_refuse_unknown_fields():
    closed = {name for name, schema in SCHEMAS.items() if schema.get("additionalProperties") is False}
    assert closed == {name for name in SCHEMAS if name.endswith(("Command", "Request"))}


def node_modules():
    """The folder with the packages, or skips the test and says why."""
    if not (node := shutil.which("node")):
        pytest.skip("no node on PATH")
    if not (folder := PACKAGES / "node_modules").is_dir():
        pytest.skip(f"node lacks the packages: npm ci --prefix {PACKAGES}")
    return node, folder


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_ci_installs_from_npm_is_pinned_by_version_and_hash():
    assert not re.search("npm (install|i|add) ", (ROOT / ".ci" / "run").read_text())
    named, lock = (json.loads((PACKAGES / name).read_text()) for name in ("package.json", "package-lock.json"))
    locked = {place.removeprefix("node_modules/"): one for place, one in lock["packages"].items() if place}
    assert named["dependencies"] == {name: locked[name]["version"] for name in named["dependencies"]}
    assert all("integrity" in one for one in locked.values())
    assert all("resolved" not in one for one in locked.values())  # it would name a host


@pytest.mark.soak
def test_typescript_client_compiles_and_knows_the_types(tmp_path):
    node, folder = node_modules()
    (tmp_path / "openapi.json").write_text(json.dumps(HTTP))
    (tmp_path / "program.ts").write_text(PROGRAM)
    run(node, folder / "openapi-typescript/bin/cli.js", "openapi.json", "--output", "api.d.ts", cwd=tmp_path)
    run(
        node,
        folder / "typescript/bin/tsc",
        "--noEmit",
        "--strict",
        "--noUncheckedIndexedAccess",
        "program.ts",
        cwd=tmp_path,
    )
