"""What every row has that is known outside."""

from __future__ import annotations

from django.db import models

from . import ids


class Row(models.Model):
    """Something that is known outside by its uuid and changes through the journal."""

    uuid = models.UUIDField(unique=True, default=ids.new_id, editable=False)
    #: The account's journal number of this row's last Change.
    changed = models.BigIntegerField(default=0, editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.uuid)
