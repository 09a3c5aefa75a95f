"""Places with fewer bits. Messages keep their order; the index, which has their places, is emptied.

It is filled again as after any change of what it holds.
"""

import re

from django.db import migrations

_INDEX = re.compile(r"chathistory_(fts|index)(_\d+)?")
#: Of the millisecond in the upper bits the moment of 64, and room for 16 messages.
_NARROW = "(place >> 26) << 4"
_NUMBERED = (
    "SELECT id, {moment} AS moment, row_number() OVER (ORDER BY place, id) AS n FROM {table}"
)
# Each has the first place of its moment, or the one after that of the message before.
_MOVE = (
    "UPDATE {table} SET place = found.place, indexed = 0 FROM"
    " (SELECT id, n + max(moment - n) OVER (ORDER BY n) AS place FROM ({numbered}) AS numbered)"
    " AS found WHERE {table}.id = found.id"
)


def _narrow(apps, schema_editor):
    _move(apps, schema_editor, _NARROW)


def _widen(apps, schema_editor):
    _move(apps, schema_editor, "(place >> 4) << 26")


def _move(apps, schema_editor, moment):
    link = schema_editor.connection
    table = apps.get_model("chathistory", "Message")._meta.db_table
    with link.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608
        if cursor.fetchone() is None:
            return
        for name in filter(_INDEX.fullmatch, link.introspection.table_names(cursor)):
            is_fts = link.vendor == "sqlite"
            empty = f"INSERT INTO {name}({name}) VALUES ('delete-all')"  # noqa: S608
            cursor.execute(empty if is_fts else f"DELETE FROM {name}")  # noqa: S608
        numbered = _NUMBERED.format(moment=moment, table=table)
        cursor.execute(_MOVE.format(table=table, numbered=numbered))


class Migration(migrations.Migration):
    dependencies = [
        ("chathistory", "0007_vocabulary"),
    ]

    operations = [
        migrations.RunPython(_narrow, _widen),
    ]
