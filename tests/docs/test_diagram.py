"""The drawing of the states: it is well-formed, and nothing in it lies upon something else."""

import re
from itertools import combinations
from typing import NamedTuple
from xml.etree import ElementTree

import pytest

from conferral.statemachine.states import State
from tests.docs.generated import load_script

diagram = load_script("diagram")


def test_the_drawing_is_well_formed_and_names_its_parts():
    drawing = ElementTree.fromstring(diagram.svg())
    titles = {element.text for element in drawing.iter("{http://www.w3.org/2000/svg}title")}

    assert set(State) <= titles
    assert any(title.startswith("From bridged to converting: ") for title in titles)


def test_the_drawing_refuses_a_transition_that_has_no_place(monkeypatch):
    monkeypatch.delitem(diagram.LINES, (State.BRIDGED, State.CONVERTING))

    with pytest.raises(ValueError, match="bridged to converting"):
        diagram.svg()


class Area(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Area") -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


#: Of the font that the drawing asks for, in user units.
LETTER_WIDTH, LETTER_HEIGHT = 7.9, 10


def label_area(line, names):
    width = LETTER_WIDTH * max(map(len, names))
    left = {"start": line.x, "middle": line.x - width / 2, "end": line.x - width}[line.anchor]
    bottom = line.y + diagram.LINE_HEIGHT * (len(names) - 1) + 3
    return Area(left, line.y - LETTER_HEIGHT, left + width, bottom)


def box_area(box):
    x, y = diagram.BOX_WIDTH / 2, diagram.BOX_HEIGHT / 2
    return Area(box.x - x, box.y - y, box.x + x, box.y + y)


def strokes(path):
    """The straight parts of a path, and its corners as the rectangles around them."""
    at = (0.0, 0.0)
    for letter, numbers in re.findall(r"([MHVQ])([0-9 .]+)", path):
        *_, last = found = [float(number) for number in numbers.split()]
        to = {"H": (last, at[1]), "V": (at[0], last)}.get(letter, tuple(found[-2:]))
        if letter != "M":
            yield Area(*map(min, at, to), *map(max, at, to))
        at = to


LABELS = {edge: label_area(diagram.LINES[edge], names) for edge, names in diagram.edge_labels().items()}


def test_the_drawing_keeps_states_and_labels_inside_its_frame():
    frame = Area(0, 0, diagram.WIDTH, diagram.HEIGHT)
    areas = [*LABELS.values(), *map(box_area, diagram.BOXES.values())]

    for area in areas:
        assert frame.left < area.left
        assert frame.top < area.top
        assert area.right < frame.right
        assert area.bottom < frame.bottom


def test_no_label_of_the_drawing_lies_upon_another_one_or_upon_a_state():
    areas = [*LABELS.items(), *((state, box_area(box)) for state, box in diagram.BOXES.items())]

    assert [(one, other) for (one, area), (other, place) in combinations(areas, 2) if area.meets(place)] == []


def test_no_line_of_the_drawing_runs_through_a_label():
    struck = [
        (edge, label)
        for edge, line in diagram.LINES.items()
        for stroke in strokes(line.path)
        for label, area in LABELS.items()
        if stroke.meets(area)
    ]

    assert struck == []
