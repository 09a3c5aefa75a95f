"""What every list of the Django admin has: rows to look at, none to change.

What people wrote shows only with ``chathistory.read_content``, opened, in the detail view.
Lists read no sealed column and count no further than they page.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import ForeignKey, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from chathistory.exceptions import ChatHistoryError
from chathistory.fields import SealedField

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Any]
    _Pages = Paginator[Any]
else:
    _Admin = admin.ModelAdmin
    _Pages = Paginator

READ_CONTENT = "chathistory.read_content"
_COUNTED = 10_000


class BoundedPaginator(_Pages):
    """Counts only as far as the admin pages."""

    @cached_property
    def count(self) -> int:
        """Return how many rows there are, at most 10,000."""
        rows = self.object_list
        return rows[:_COUNTED].count() if isinstance(rows, QuerySet) else len(rows)


class ReadOnlyAdmin(_Admin):
    """Rows to look at. ``secrets`` never show; ``content`` needs the permission."""

    #: Columns besides the sealed ones that no one is shown.
    secrets: ClassVar[tuple[str, ...]] = ()
    #: Methods that open what a person wrote.
    content: ClassVar[tuple[str, ...]] = ()
    #: Foreign keys that lists show and methods follow.
    related: ClassVar[tuple[str, ...]] = ("account",)

    actions: Any = None
    ordering = ("-pk",)
    sortable_by = ()
    list_per_page = 50
    show_full_result_count = False
    paginator = BoundedPaginator

    class Media:
        css: ClassVar = {"all": ["chathistory/css/admin.css"]}

    @admin.display(description=_("owner"))
    def owner(self, row: Any) -> str:
        """Return whose row it is, by name where the user is there."""
        account = row.account
        return "" if account is None else str(account.user or account)

    def has_add_permission(self, request: HttpRequest, *_args: Any) -> bool:
        """Refuse: rows are born in verbs."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: rows change in verbs."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: rows go in verbs."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return rows with what is shown of their neighbours, and nothing sealed."""
        users = ["account__user"] if "account" in self.related else []
        rows = super().get_queryset(request).select_related(*self.related, *users)
        return rows.defer(*_sealed(self.model), *self._sealed_neighbours())

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find a row by its whole uuid; that is what the search box takes."""
        if not search_term:
            return queryset, False
        try:
            return queryset.filter(uuid=UUID(search_term.strip())), False
        except ValueError:
            return queryset.none(), False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return the plain columns, and the opened ones for whoever may read them."""
        hidden = {"id", *self.secrets}
        plain = [
            field.name
            for field in self.model._meta.fields
            if field.name not in hidden and not isinstance(field, SealedField)
        ]
        may_read = request.user.has_perm(READ_CONTENT)
        return [*plain, *(self.content if may_read else ())]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return all that is shown."""
        return self.get_fields(request, obj)

    def _sealed_neighbours(self) -> list[str]:
        keys = [self.model._meta.get_field(name) for name in self.related]
        return [
            f"{key.name}__{name}"
            for key in keys
            if isinstance(key, ForeignKey)
            for name in _sealed(key.related_model)
        ]


def _sealed(model: Any) -> list[str]:
    return [field.name for field in model._meta.fields if isinstance(field, SealedField)]


def opened(read: Callable[..., Any], *rows: Any) -> str:
    """Return what ``read`` opens as text, or why it does not open."""
    try:
        found = read(*rows)
    except ChatHistoryError as error:
        return f"[{error.code}] {error}"
    if isinstance(found, str):
        return found
    return "" if found is None else json.dumps(found, ensure_ascii=False, indent=2, default=str)
