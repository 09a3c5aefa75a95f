"""The tables that say who may do what, and which state may follow which."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chathistory import policy, states
from chathistory.states import State


@given(st.sets(st.sampled_from(sorted(policy.VERBS))))
def test_a_set_of_verbs_comes_back_from_its_bits(verbs):
    assert set(policy.names(policy.mask(verbs))) == verbs


def test_each_verb_has_a_bit_of_its_own():
    bits = list(policy.VERBS.values())
    assert len(set(bits)) == len(bits)
    assert all(bit.bit_count() == 1 for bit in bits)


def test_a_verb_named_twice_counts_once_and_an_unknown_one_is_an_error():
    assert policy.mask(["read", "read"]) == policy.mask(["read"])
    with pytest.raises(KeyError):
        policy.mask(["own"])


def test_every_role_can_read_and_each_higher_one_can_do_more():
    roles = [policy.ROLES[name] for name in ("viewer", "commenter", "editor", "manager")]
    assert set(policy.ROLES.values()) == set(roles)
    assert all(low < high for low, high in pairwise(roles))
    assert all("read" in role for role in roles)
    assert roles[-1] == set(policy.VERBS)


def test_every_transition_leads_from_a_state_to_another():
    for moves in states.TRANSITIONS.values():
        for before, after in moves.items():
            assert {before, after} <= set(State.values)
            assert before != after


def test_what_is_not_in_the_table_is_no_move():
    assert states.after("delete", State.ACTIVE) == State.DELETED
    assert states.after("delete", State.DELETED) is None
    assert states.after("restore", State.ACTIVE) is None
