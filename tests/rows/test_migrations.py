"""The tables are what the models say, on whichever database this is."""

from __future__ import annotations

from io import StringIO

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from chathistory import keyring
from chathistory.search.base import index
from chathistory.search.find import search

MODELS = list(apps.get_app_config("chathistory").get_models())


@pytest.mark.django_db
def test_no_migration_is_missing():
    call_command("makemigrations", "--check", "--dry-run", "chathistory", stdout=StringIO())


def test_migrations_are_named_and_run_nothing_but_what_moves_places():
    for (app, name), migration in MigrationLoader(None).disk_migrations.items():
        if app == "chathistory":
            assert "auto" not in name
            kinds = {type(operation).__name__ for operation in migration.operations}
            assert not kinds & {"RunSQL", "RunPython"} or name == "0008_places"


@pytest.mark.django_db
@pytest.mark.parametrize("model", MODELS)
def test_every_column_and_named_index_is_there(model):
    with connection.cursor() as cursor:
        columns = connection.introspection.get_table_description(cursor, model._meta.db_table)
        made = connection.introspection.get_constraints(cursor, model._meta.db_table)
    assert {c.name for c in columns} == {f.column for f in model._meta.local_concrete_fields}
    wanted = {one.name for one in (*model._meta.indexes, *model._meta.constraints)}
    assert wanted <= made.keys()


@pytest.mark.django_db
def test_the_index_is_made_by_migrate_and_making_it_again_keeps_it(alice, talk):
    talk("findable")
    index().create()
    assert len(search(alice, "findable").hits) == 1


@pytest.mark.django_db(transaction=True)
def test_flush_forgets_the_index_too(alice, talk):
    session = talk("findable")
    keyed = keyring.account_keys(session.account).search
    assert index().counts([keyed.token("findable")], 10)[0] == 1
    call_command("flush", interactive=False, verbosity=0)
    assert index().counts([keyed.token("findable")], 10)[0] == 0
