"""What docs/coverage.md says of each operation, parameter, element, and attribute."""

import re

from model_scenario import BUSINESS, ModelScenario
from offhook.model.rest import parameters
from offhook.model.twiml_grammar import GRAMMAR, Element, Support

OPERATIONS = parameters.description()["operations"]
DIAL = (("To", "client:bob"), ("From", BUSINESS), ("Twiml", "<Response/>"))
MESSAGE = (("To", "+14155550199"), ("From", BUSINESS), ("Body", "Hi"))


def request(operation: str) -> tuple[str, str]:
    """Its method, and its path with SIDs of nothing."""
    method, path = operation.split(" ")
    return method, re.sub(r"\{\}", "PN" + "0" * 32, path)


def test_operation_that_is_not_modeled_is_refused_with_an_alert() -> None:
    for operation in (it for it in OPERATIONS if it not in parameters.MODELED):
        story = ModelScenario()
        method, path = request(operation)
        status, body = story.rest(method, path)
        assert (status, story.error_codes()) in ((404, [0]), (405, [])), operation
        assert status == 405 or "the sandbox does not model" in body["message"], operation


def test_parameter_is_modeled_accepted_or_an_alert() -> None:
    for operation, known in OPERATIONS.items():
        modeled = parameters.MODELED.get(operation, "").split()
        for name in known if operation in parameters.MODELED else ():
            story = ModelScenario()
            story.rest(*request(operation), (name, _value_of(known[name])))
            ignored = [it.message for it in story.errors if "ignores it" in it.message]
            is_ignored = name not in modeled and name not in parameters.NO_EFFECT
            assert bool(ignored) == is_ignored, (operation, name)


def _value_of(pattern: str) -> str:
    """A value that a pattern takes; none of the patterns is more than one of these."""
    samples = ("", "1", "true", "POST", "https://a.example", "2026-11-30", *re.split(r"\|", pattern))
    sids = (f"{prefix}{'0' * 32}" for prefix in re.findall(r"\^([A-Z]{2})\[", pattern))
    return next(it for it in (*sids, *samples) if it and re.fullmatch(pattern or ".*", it))


def test_child_is_modeled_accepted_or_an_alert() -> None:
    for name, element in GRAMMAR.items():
        for child, support in element.children.items():
            story = ModelScenario()
            story.call_in(document(name, f"<{child}/>"))
            named = name if name == "Stop" else child  # an alert about <Stop> is also about what is in it
            ignored = [it.message for it in story.errors if f"Twilio has <{named}>" in it.message]
            assert bool(ignored) == (support in {Support.MISSING, Support.LOGGED}), (name, child)


def test_attribute_is_modeled_accepted_or_an_alert() -> None:
    for name, element in GRAMMAR.items():
        for attribute, it in element.attributes.items():
            value = next(one for one in VALUES if it.values.has(one) and one != it.only)
            story = ModelScenario()
            story.call_in(document(name, "", f"{attribute}='{value}'"))
            ignored = [it.message for it in story.errors if attribute in it.message and "ignores it" in it.message]
            assert bool(ignored) == (it.support is Support.MISSING), (name, attribute)


VALUES = (
    "1", "true", "false", "POST", "record-from-answer", "do-not-record", "dtmf", "rejected", "completed", "start",
    "trim-silence", "both", "onEnter", "large", "credit-card", "ach-debit", "one-time", "in-progress",
    "CA" + "0" * 32, "visa", "Enable", "dual",
)  # fmt: skip


def document(name: str, inside: str, attributes: str = "") -> str:
    """A document with this element where Twilio has it."""
    made = f"<{name} {attributes}>{inside}</{name}>"
    while name != "Response":
        name = next(it for it in parents_of(name))
        made = f"<{name}>{made}</{name}>"
    return made


def parents_of(name: str) -> list[str]:
    return [it for it, element in GRAMMAR.items() if is_inside(element, name)]


def is_inside(element: Element, name: str) -> bool:
    return element.children.get(name) in {Support.MODELED, Support.LOGGED}
