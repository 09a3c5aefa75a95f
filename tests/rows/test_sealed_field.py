"""A sealed column can be stored and tested for NULL, and nothing else."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.core.exceptions import FieldError

from chathistory.fields import SealedField
from chathistory.models import Session

SEALED = [
    (model, field.name)
    for model in apps.get_app_config("chathistory").get_models()
    for field in model._meta.fields
    if isinstance(field, SealedField)
]
LOOKUPS = ("exact", "in", "contains", "icontains", "startswith", "gt", "lt", "range", "regex")


@pytest.mark.parametrize(("model", "name"), SEALED)
def test_it_refuses_every_look_up_but_isnull(model, name) -> None:
    for lookup in LOOKUPS:
        with pytest.raises(FieldError, match="sealed"):
            model._base_manager.filter(**{f"{name}__{lookup}": b"x"})
    assert "IS NULL" in str(model._base_manager.filter(**{f"{name}__isnull": True}).query)


def test_it_refuses_look_ups_through_a_relation() -> None:
    with pytest.raises(FieldError):
        Session.objects.filter(tags__name=b"x")


def test_every_column_of_bytes_is_sealed() -> None:
    names = {f"{model.__name__}.{name}" for model, name in SEALED}
    assert names == {
        *("DataKey.master_wrapped", "DataKey.wrapped", "Tag.name", "Change.before"),
        *("Session.title", "Session.preview", "Session.metadata", "Message.body"),
        *("Revision.body", "Block.body", "Job.arguments", "Job.result", "Backup.key"),
        "Vocabulary.words",
    }


@pytest.mark.django_db
def test_a_row_shows_nothing_but_its_uuid(talk) -> None:
    session = talk("A secret", title="Another")
    assert str(session) == str(session.uuid)
    assert "secret" not in repr(session.messages.get())
