"""A sample of mutants, drawn by seed: small changes of the core packages that a test should notice."""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

CORE = (
    "statemachine",
    "worker",
    "conferral/storage",
    "conferral/commands",
    "conferral/outcomes",
    "webhooks",
    "conferral/telephony",
)
#: Cosmic Ray's operators. Left out: those that change annotations, and variants that hardly differ from these.
OPERATORS = (
    "AddNot",
    "ExceptionReplacer",
    "NumberReplacer",
    "ReplaceAndWithOr",
    "ReplaceBinaryOperator_Add_Sub",
    "ReplaceBinaryOperator_Div_Mul",
    "ReplaceBinaryOperator_FloorDiv_Mul",
    "ReplaceBinaryOperator_Mod_Add",
    "ReplaceBinaryOperator_Mul_Div",
    "ReplaceBinaryOperator_Sub_Add",
    "ReplaceBreakWithContinue",
    "ReplaceComparisonOperator_Eq_NotEq",
    "ReplaceComparisonOperator_GtE_Gt",
    "ReplaceComparisonOperator_GtE_Lt",
    "ReplaceComparisonOperator_Gt_GtE",
    "ReplaceComparisonOperator_Gt_LtE",
    "ReplaceComparisonOperator_IsNot_Is",
    "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_LtE_Gt",
    "ReplaceComparisonOperator_LtE_Lt",
    "ReplaceComparisonOperator_Lt_GtE",
    "ReplaceComparisonOperator_Lt_LtE",
    "ReplaceComparisonOperator_NotEq_Eq",
    "ReplaceContinueWithBreak",
    "ReplaceFalseWithTrue",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_USub_UAdd",
    "ZeroIterationForLoop",
)


@dataclass(frozen=True, slots=True, order=True)
class Mutant:
    """One change: the `occurrence`-th place of a file where an operator fits."""

    path: str
    line: int
    column: int
    operator: str
    occurrence: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column} {self.operator}"

    def code(self, root: Path) -> str:
        """The changed file."""
        source = (root / self.path).read_text("utf-8")
        changed = mutate_code(source, get_operator(f"core/{self.operator}")(), self.occurrence)
        assert changed is not None, self
        return str(changed)


def sample(root: Path, paths: list[str], count: int, seed: int) -> list[Mutant]:
    """Draws mutants: each place in the code is as likely as any other, whatever number of operators fits there.

    Args:
        root: The checkout.
        paths: Files to change, relative to it.
        count: How many; fewer where there are not so many places, or a change is not possible.
        seed: The same seed draws the same mutants of the same code.
    """
    places: dict[tuple[str, int, int], list[Mutant]] = defaultdict(list)
    for path in sorted(paths):
        for mutant in _mutants((root / path).read_text("utf-8"), path):
            places[path, mutant.line, mutant.column].append(mutant)
    chance = random.Random(seed)
    drawn = chance.sample(sorted(places), min(count, len(places)))
    chosen = [chance.choice(places[place]) for place in drawn]
    return [mutant for mutant in chosen if _is_possible(mutant, root)]


def _is_possible(mutant: Mutant, root: Path) -> bool:
    try:
        compile(mutant.code(root), "", "exec", dont_inherit=True)
    except (SyntaxError, AttributeError):  # Cosmic Ray can't replace an exception with a dotted name.
        return False
    return True


def _mutants(source: str, path: str) -> Iterator[Mutant]:
    nodes = list(ast_nodes(get_ast(source)))
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        positions = [(node, start) for node in nodes for start, _end in operator.mutation_positions(node)]
        for occurrence, (node, (line, column)) in enumerate(positions):
            if not (_is_annotation(node) or _is_signature_marker(node) or _is_option_for_mypy(node)):
                yield Mutant(path, line, column, name, occurrence)


def _is_signature_marker(node: Any) -> bool:
    """Whether this is the `*` or `/` of a signature, which no operator is."""
    return node.type == "operator" and node.value in ("*", "/") and node.parent.type in ("parameters", "param")


def _is_option_for_mypy(node: Any) -> bool:
    """Whether this option only forbids: a record's `frozen` or `slots`, as mypy does, or the `strict` of a `zip`."""
    name = getattr(node.parent.children[0], "value", "") if node.parent.type == "argument" else ""
    return name in ("frozen", "slots") or (name == "strict" and _called(node.parent) == "zip")


def _called(argument: Any) -> str:
    """The name of the function that gets an argument; empty if it is no plain name."""
    call = argument.parent
    while call is not None and call.type not in ("atom_expr", "power"):
        call = call.parent
    return getattr(call.children[0], "value", "") if call is not None else ""


def _is_annotation(node: Any) -> bool:
    """Whether a change here would change a type alone."""
    while node.parent is not None:
        parent, before = node.parent, node.get_previous_sibling()
        is_after = before is not None and before.type == "operator" and before.value in (":", "->")
        if is_after and node.type != "suite" and parent.type in ("annassign", "param", "tfpdef", "funcdef"):
            return True
        node = parent
    return False
