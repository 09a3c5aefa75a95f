"""Trees of any shape keep every node."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chathistory.formats import tree

KEYS = [f"k{at}" for at in range(12)]
MAPS = st.fixed_dictionaries(
    {}, optional={key: st.sampled_from([None, *KEYS]) for key in KEYS}
).map(lambda links: {key: above if above in links else None for key, above in links.items()})


def is_parents_first(order: list[str], parents: dict[str, str | None]) -> bool:
    place = {key: at for at, key in enumerate(order)}
    return all(above is None or place[above] < place[key] for key, above in parents.items())


@given(MAPS)
def test_any_map_becomes_a_forest_of_the_same_nodes(links: dict[str, str | None]) -> None:
    parents = tree.without_cycles(links)
    assert list(parents) == list(links)
    assert all(above in (links[key], None) for key, above in parents.items())
    for order in (tree.preorder(parents, str), tree.parents_first(parents)):
        assert sorted(order) == sorted(links)
        assert is_parents_first(order, parents)


@given(MAPS)
def test_an_order_that_has_parents_first_is_not_touched(links: dict[str, str | None]) -> None:
    parents = tree.without_cycles(links)
    order = tree.preorder(parents, str)
    assert tree.parents_first({key: parents[key] for key in order}) == order


@given(MAPS, st.sets(st.sampled_from(KEYS)))
def test_the_nearest_kept_ancestor_is_found(links: dict[str, str | None], kept: set[str]) -> None:
    parents = tree.without_cycles(links)
    found = tree.nearest(tree.preorder(parents, str), parents, kept)
    for key in parents:
        above = parents[key]
        while above is not None and above not in kept:
            above = parents[above]
        assert found[key] == above
