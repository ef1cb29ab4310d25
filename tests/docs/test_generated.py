"""Generated pages are those that the code would make now."""

import re

import pytest

from conferral.runtime.metrics import Metrics
from conferral.statemachine.states import State, TransferStage
from tests.docs.generated import ROOT, generated_names, generated_page, load_script


@pytest.mark.parametrize("name", generated_names())
def test_a_generated_page_is_up_to_date(name):
    path = ROOT / name

    assert path.exists(), "run `make docs` and commit what it wrote"
    assert path.read_text("utf-8") == generated_page(name), "run `make docs` and commit what it changed"


def test_generated_pages_are_all_that_there_is_in_the_reference():
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "reference").iterdir()}

    assert there == {name for name in generated_names() if name.startswith("docs/reference/")}


def test_the_page_of_metrics_names_what_the_metrics_endpoint_shows():
    page = generated_page("docs/reference/metrics.md")
    shown = re.findall(r"^# TYPE (conferral_\w+) ", Metrics().exposition().decode(), re.MULTILINE)

    # The text format shows a creation time next to each counter and histogram.
    for name in shown:
        assert f"| `{name}` |" in page or name.endswith("_created")


def test_the_page_of_the_state_machine_escapes_what_markdown_would_take_for_a_tag_or_a_column():
    meanings = {stage.name: "waits for <Dial> | `<Dial>`." for stage in TransferStage}
    page = load_script("statemachine_page").statemachine_page(dict.fromkeys(State, ""), meanings)

    assert "| waits for &lt;Dial&gt; \\| `<Dial>` |" in page


def test_the_page_of_log_events_says_what_each_event_means():
    module = load_script("log_events_page")

    assert module.MEANINGS.keys() == load_script("source_notes").log_levels().keys()
    for meaning in module.MEANINGS.values():
        assert meaning.endswith(".")


def test_docs_check_reports_a_stale_page_without_writing_it(monkeypatch, tmp_path, capsys):
    generate_docs = load_script("generate_docs")
    monkeypatch.setattr(generate_docs, "ROOT", tmp_path)
    monkeypatch.setattr(generate_docs, "pages", lambda: {"docs/one.md": "text\n"})

    monkeypatch.setattr("sys.argv", ["generate_docs.py", "--check"])
    assert generate_docs.main() == 1
    assert not (tmp_path / "docs").exists()

    monkeypatch.setattr("sys.argv", ["generate_docs.py"])
    assert generate_docs.main() == 0
    assert (tmp_path / "docs" / "one.md").read_text() == "text\n"
    assert capsys.readouterr().out == "docs/one.md\ndocs/one.md\n"
