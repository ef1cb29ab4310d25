"""Write the parameters of Twilio's REST API from its OpenAPI description.

    python sandbox/scripts/rest_parameters.py PATH COMMIT

PATH is `spec/json/twilio_api_v2010.json` of github.com/twilio/twilio-oai at that COMMIT. The sandbox's strict mode
checks requests against the result.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "offhook" / "model" / "rest" / "twilio_parameters.json"
OF_ACCOUNT = re.compile(r"/2010-04-01/Accounts/\{(?:Account)?Sid\}(.*)")
PATTERNS = {
    "http-method": "(?i:GET|POST)",
    "uri": "(https?://.+)?",  # an empty one means none
    "date": r"\d{4}-\d\d-\d\d",
    "date-time": r"\d{4}-\d\d-\d\d.*",
    "integer": r"\d+",
    "boolean": "(?i:true|false)",
}
"""By format, or by type. Other formats, such as that of an address, have errors of their own."""
ANY_VALUE = re.compile(r"other than `true` or `false` is (interpreted|considered)")


def pattern_of(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    """Return the pattern of a parameter's values; empty for any."""
    while more := schema.get("items") or schemas.get(schema.get("$ref", "").rpartition("/")[2]):
        schema = more
    known = PATTERNS.get(schema.get("format", "")) or PATTERNS.get(schema.get("type", ""))
    return known or schema.get("pattern") or "|".join(schema.get("enum", ()))


def parameters_of(operation: dict[str, Any], schemas: dict[str, Any]) -> dict[str, str]:
    """Return the patterns of an operation's parameters, by name."""
    found = {it["name"]: it["schema"] | it for it in operation.get("parameters", ()) if it["in"] == "query"}
    for content in operation.get("requestBody", {}).get("content", {}).values():
        found |= content["schema"].get("properties", {})
    return {
        name: "" if ANY_VALUE.search(schema.get("description", "")) else pattern_of(schema, schemas)
        for name, schema in found.items()
    }


def main(path: str | Path, commit: str, target: Path = TARGET) -> None:
    """Write the file."""
    description = json.loads(Path(path).read_text("utf-8"))
    schemas = description["components"]["schemas"]
    operations = {
        f"{method.upper()} {re.sub(r'{[^}]+}', '{}', kept[1])}": parameters_of(operations[method], schemas)
        for full_path, operations in description["paths"].items()
        if (kept := OF_ACCOUNT.fullmatch(full_path))
        for method in ("get", "post", "delete")
        if method in operations
    }
    source = {
        "repository": "https://github.com/twilio/twilio-oai",
        "file": "spec/json/twilio_api_v2010.json",
        "commit": commit,
        "license": description["info"]["license"]["name"],
    }
    target.write_text(f"{json.dumps({'source': source, 'operations': operations}, indent=1)}\n", "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
