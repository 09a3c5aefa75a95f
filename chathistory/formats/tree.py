"""Trees as other programs wrote them: a map from each node to its parent, not always sound.

Nothing here drops a node and nothing recurses, so a chat may be as deep as it is long.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

Parents = Mapping[str, str | None]


def without_cycles(parents: Parents) -> dict[str, str | None]:
    """Return the same map with each circle cut open at its first node in file order."""
    result = dict(parents)
    place = {node: index for index, node in enumerate(result)}
    settled: set[str] = set()
    for start in parents:
        path: dict[str, None] = {}
        node: str | None = start
        while node is not None and node not in settled and node not in path:
            path[node] = None
            node = result[node]
        if node is not None and node in path:
            steps = list(path)
            result[min(steps[steps.index(node) :], key=place.__getitem__)] = None
        settled.update(path)
    return result


def preorder(parents: Parents, rank: Callable[[str], Any]) -> list[str]:
    """Return every node of a map without cycles, branch after branch, siblings by `rank`."""
    children: dict[str | None, list[str]] = {}
    for node, parent in parents.items():
        children.setdefault(parent, []).append(node)
    order: list[str] = []
    waiting = sorted(children.get(None, ()), key=rank, reverse=True)
    while waiting:
        node = waiting.pop()
        order.append(node)
        waiting += sorted(children.get(node, ()), key=rank, reverse=True)
    return order


def parents_first(parents: Parents) -> list[str]:
    """Return the nodes in the order given, moving only those that stand before their parent."""
    order: dict[str, None] = {}
    for node in parents:
        above: list[str] = []
        step: str | None = node
        while step is not None and step not in order:
            above.append(step)
            step = parents[step]
        order.update(dict.fromkeys(reversed(above)))
    return list(order)


def nearest(order: Iterable[str], parents: Parents, kept: Collection[str]) -> dict[str, str | None]:
    """Return for every node its nearest ancestor in `kept`; `order` has parents first."""
    found: dict[str, str | None] = {}
    for node in order:
        parent = parents[node]
        found[node] = parent if parent is None or parent in kept else found[parent]
    return found
