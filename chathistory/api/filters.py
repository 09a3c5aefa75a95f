"""Which sessions a list or a search is narrowed to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import django_filters
from django import forms
from django.db.models import Q
from django_filters.fields import IsoDateTimeField
from rest_framework.request import Request

from chathistory import records
from chathistory.actions import accounts
from chathistory.exceptions import Invalid
from chathistory.listing import Narrow
from chathistory.models import Session
from chathistory.querysets import SessionQuerySet
from chathistory.states import State

from .base import NO, YES


class MomentField(IsoDateTimeField):  # type: ignore[misc]
    """A time that is a time in UTC too."""

    def to_python(self, value: Any) -> datetime | None:
        """Return the time in UTC. Raises ValidationError outside the years 1 to 9999."""
        try:
            moment: datetime | None = super().to_python(value)
            return moment and moment.astimezone(UTC)
        except OverflowError:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from None


class MomentFilter(django_filters.IsoDateTimeFilter):  # type: ignore[misc]
    """Before or after a time."""

    field_class = MomentField


class SessionFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Filters by query parameters; without ``state`` the trash stays out."""

    workflow = django_filters.CharFilter(field_name="workflow")
    state = django_filters.ChoiceFilter(choices=State.choices)
    pinned = django_filters.TypedChoiceFilter(
        choices=[(word, word) for word in YES + NO],
        coerce=YES.__contains__,
        empty_value=None,
        method="by_pinned",
    )
    tag = django_filters.CharFilter(method="by_tag")
    created_after = MomentFilter(field_name="created_at", lookup_expr="gte")
    created_before = MomentFilter(field_name="created_at", lookup_expr="lt")
    updated_after = MomentFilter(field_name="updated_at", lookup_expr="gte")
    updated_before = MomentFilter(field_name="updated_at", lookup_expr="lt")

    class Meta:
        model = Session
        fields = ()

    def by_pinned(self, queryset: SessionQuerySet, _name: str, value: bool) -> SessionQuerySet:
        """Keep what the asker has pinned, or everything else; others' pins are their own."""
        mine = Q(pinned=True, account=accounts.of(self.request.user))
        return queryset.filter(mine) if value else queryset.exclude(mine)

    def by_tag(self, queryset: SessionQuerySet, _name: str, value: str) -> SessionQuerySet:
        """Keep the sessions with the asker's own tag of this name."""
        account = accounts.of(self.request.user)
        digest = records.tag_digest(account, " ".join(value.split()))
        return queryset.filter(tags__digest=digest, tags__account=account)


NAMES = frozenset(SessionFilter.base_filters)


def narrow(request: Request) -> Narrow:
    """Return the narrowing that the query parameters ask for.

    Raises Invalid for a value that a filter cannot use.
    """
    parameters = request.query_params
    _check(SessionFilter(parameters, Session.objects.none(), request=request))

    def narrowed(queryset: SessionQuerySet) -> SessionQuerySet:
        if not parameters.get("state"):
            queryset = queryset.exclude(state=State.DELETED)
        found: SessionQuerySet = SessionFilter(parameters, queryset, request=request).qs
        return found

    return narrowed


def _check(filters: Any) -> None:
    if not filters.is_valid():
        field, errors = next(iter(filters.errors.items()))
        raise Invalid(str(errors[0]), field=str(field))
