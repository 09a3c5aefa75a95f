"""Who may do what: the one table of verbs, roles and token scopes."""

from __future__ import annotations

from collections.abc import Iterable

#: Each verb a grant can hold, as a bit of ``Share.verbs``.
VERBS: dict[str, int] = {"read": 1, "write": 2, "edit": 4, "delete": 8, "share": 16, "export": 32}

#: Named presets of verbs.
ROLES: dict[str, frozenset[str]] = {
    "viewer": frozenset({"read"}),
    "commenter": frozenset({"read", "write"}),
    "editor": frozenset({"read", "write", "edit", "export"}),
    "manager": frozenset(VERBS),
}

#: What an API token may be limited to. Reading and writing are asked by HTTP method.
SCOPES: frozenset[str] = frozenset({"read", "write"})


def mask(verbs: Iterable[str]) -> int:
    """Return the bits of ``verbs``. Raises KeyError for a verb that does not exist."""
    return sum(VERBS[verb] for verb in set(verbs))


def names(bits: int) -> list[str]:
    """Return the verbs whose bits are set, in the table's order."""
    return [verb for verb, bit in VERBS.items() if bits & bit]
