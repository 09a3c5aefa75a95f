"""Which sessions a list or a search is narrowed to."""

from __future__ import annotations

from typing import Any

import django_filters
from rest_framework.request import Request

from chathistory import records
from chathistory.actions import accounts
from chathistory.exceptions import Invalid
from chathistory.listing import Narrow
from chathistory.models import Session
from chathistory.querysets import SessionQuerySet
from chathistory.states import State


class SessionFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Filters by query parameters; without ``state`` the trash stays out."""

    workflow = django_filters.CharFilter(field_name="workflow")
    state = django_filters.ChoiceFilter(choices=State.choices)
    pinned = django_filters.BooleanFilter()
    tag = django_filters.CharFilter(method="by_tag")
    created_after = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")
    updated_after = django_filters.IsoDateTimeFilter(field_name="updated_at", lookup_expr="gte")
    updated_before = django_filters.IsoDateTimeFilter(field_name="updated_at", lookup_expr="lt")

    class Meta:
        model = Session
        fields = ()

    def by_tag(self, queryset: SessionQuerySet, _name: str, value: str) -> SessionQuerySet:
        """Keep the sessions with the asker's own tag of this name."""
        account = accounts.of(self.request.user)
        digest = records.tag_digest(account, " ".join(value.split()))
        return queryset.filter(tags__digest=digest, tags__account=account)


NAMES = frozenset(SessionFilter.base_filters)


def narrow(request: Request, known: frozenset[str] = frozenset()) -> Narrow:
    """Return the narrowing that the query parameters ask for.

    Raises Invalid for a parameter that is neither a filter nor in ``known``, and for a value
    that a filter cannot use.
    """
    parameters = request.query_params
    if unknown := sorted(set(parameters) - NAMES - known):
        names = ", ".join(sorted(NAMES | known))
        raise Invalid(f"Unknown parameter; one of: {names}.", field=unknown[0])
    _check(SessionFilter(parameters, Session.objects.none(), request=request))

    def narrowed(queryset: SessionQuerySet) -> SessionQuerySet:
        if not parameters.get("state"):
            queryset = queryset.exclude(state=State.DELETED)
        found: SessionQuerySet = SessionFilter(parameters, queryset, request=request).qs
        return found

    return narrowed


def _check(filters: Any) -> None:
    for name, value in filters.data.items():
        if "\0" in value:
            raise Invalid("A NUL character.", field=name)
    if not filters.is_valid():
        field, errors = next(iter(filters.errors.items()))
        raise Invalid(str(errors[0]), field=str(field))
