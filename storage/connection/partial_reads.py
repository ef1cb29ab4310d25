"""Reads from the nodes of a cluster that answer, for operators: some of the calls are better than none."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from conferral.runtime.errors import StoreUnreachableError
from conferral.storage.connection.client import Client, run_each
from conferral.storage.connection.node_limits import node_of

_T = TypeVar("_T")


async def run_each_answering(
    client: Client,
    items: Iterable[_T],
    append_command: Callable[[Any, _T], object],
    key_of: Callable[[_T], str],
    silent: dict[str, StoreUnreachableError],
) -> list[Any]:
    """Run commands for each item as `run_each` does, node by node; None also for the items of a silent node.

    Args:
        key_of: Returns an item's key.
        silent: The nodes that did not answer, which are not asked again; receives further ones.

    Raises:
        StoreUnreachableError: No node answered.
        StoreError: Redis refused for good.
    """
    wanted = list(items)
    of_node: dict[str, list[int]] = {}
    for at, item in enumerate(wanted):
        of_node.setdefault(node_of(client, key_of(item)), []).append(at)
    answers: list[Any] = [None] * len(wanted)

    async def run_at(node: str, own: list[int]) -> None:
        if node in silent:
            return
        try:
            found = await run_each(client, [wanted[at] for at in own], append_command)
        except StoreUnreachableError as error:
            silent[node] = error
            return
        for at, answer in zip(own, found, strict=True):
            answers[at] = answer

    await asyncio.gather(*(run_at(node, own) for node, own in of_node.items()))
    if of_node and of_node.keys() <= silent.keys():
        raise silent[next(iter(of_node))]
    return answers
