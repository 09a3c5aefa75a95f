"""The rows. What a row knows by itself; verbs are in ``actions/``, look-ups in querysets."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings as host
from django.contrib.auth.models import Group
from django.db import models
from django.db.models import F, Index, Q, UniqueConstraint
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from . import ids
from .fields import MasterSealedField, SealedField
from .querysets import MessageQuerySet, SessionQuerySet, ShareQuerySet
from .rows import Row
from .running import Backup, Job, Lease, RetentionPolicy, Seeded, Token
from .states import State
from .text import ROLES

__all__ = [
    "Account",
    "Backup",
    "Block",
    "Change",
    "DataKey",
    "Job",
    "Lease",
    "Message",
    "RetentionPolicy",
    "Revision",
    "Row",
    "Seeded",
    "Session",
    "Share",
    "Tag",
    "Token",
    "Vocabulary",
]


class Account(models.Model):
    """The owner of everything. Only this row refers to the host's user."""

    uuid = models.UUIDField(unique=True, default=ids.new_id, editable=False)
    user = models.OneToOneField(
        host.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        related_name="chathistory_account",
    )
    #: Raised by a whole-system restore, so that old cursors and ETags die.
    epoch = models.PositiveIntegerField(default=1)
    #: Number and time of the newest Change; time never goes back.
    seq = models.BigIntegerField(default=0)
    at = models.DateTimeField(default=timezone.now)
    key_version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(default=timezone.now)
    #: When the user was deleted, who is to be erased; a hold may make that wait.
    erase_asked_at = models.DateTimeField(null=True, blank=True)
    erased_at = models.DateTimeField(null=True, blank=True)
    #: The newest Change that is in a backup's segment.
    shipped = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        indexes: ClassVar = [
            Index(fields=["id"], condition=Q(seq__gt=F("shipped")), name="ch_account_unshipped")
        ]

    def __str__(self) -> str:
        return str(self.uuid)


class DataKey(models.Model):
    """A wrapped key: an account's own under a master key, every other under the account's."""

    class Purpose(models.TextChoices):
        ACCOUNT = "account", _("wraps the account's other keys")
        SESSION = "session", _("seals one session")
        SEARCH = "search", _("keys search tokens")
        TAG = "tag", _("keys tag names")
        ROWS = "rows", _("seals tags and jobs")

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="keys")
    purpose = models.CharField(max_length=16, choices=Purpose)
    session = models.ForeignKey(
        "Session", null=True, blank=True, on_delete=models.CASCADE, related_name="keys"
    )
    version = models.PositiveIntegerField(default=1)
    master_wrapped = MasterSealedField(null=True)
    wrapped = SealedField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("data key")
        verbose_name_plural = _("data keys")
        constraints: ClassVar = [
            UniqueConstraint(
                fields=["account", "purpose", "version"],
                condition=Q(session=None),
                name="ch_datakey_account",
            ),
            UniqueConstraint(
                fields=["session", "version"],
                condition=Q(session__isnull=False),
                name="ch_datakey_session",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} key {self.version}"


class Tag(Row):
    """An account's label for its sessions: a sealed name, found by its keyed hash."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="tags")
    name = SealedField()
    name_revision = models.PositiveIntegerField(default=1)
    digest = models.CharField(max_length=32, editable=False)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("tag")
        verbose_name_plural = _("tags")
        constraints: ClassVar = [
            UniqueConstraint(fields=["account", "digest"], name="ch_tag_account_digest")
        ]


class Session(Row):
    """One conversation. Each sealed column has a revision, raised when its content changes."""

    class TitleSource(models.TextChoices):
        AUTO = "auto", _("made from the first message")
        USER = "user", _("given by a person")

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="sessions")
    workflow = models.CharField(max_length=64)
    state = models.CharField(max_length=16, choices=State, default=State.ACTIVE)
    pinned = models.BooleanField(default=False)
    hold = models.BooleanField(default=False)
    version = models.PositiveIntegerField(default=1)
    key_version = models.PositiveIntegerField(default=1)

    title = SealedField(null=True)
    title_revision = models.PositiveIntegerField(default=0)
    title_source = models.CharField(max_length=4, choices=TitleSource, default=TitleSource.AUTO)
    preview = SealedField(null=True)
    preview_revision = models.PositiveIntegerField(default=0)
    metadata = SealedField(null=True)
    metadata_revision = models.PositiveIntegerField(default=0)
    #: 0, or the version of the search index that holds the title.
    indexed = models.PositiveSmallIntegerField(default=0)
    #: Whether bodies are packed in blocks.
    compressed = models.BooleanField(default=False)
    #: Records that did not open when they were last read through.
    damaged = models.PositiveIntegerField(default=0)

    last_seq = models.PositiveIntegerField(default=0)
    #: The leaf shown, by its seq; empty before the first message.
    head_seq = models.PositiveIntegerField(null=True)
    message_count = models.PositiveIntegerField(default=0)
    total_tokens = models.BigIntegerField(default=0)
    tags = models.ManyToManyField(Tag, blank=True, related_name="sessions")

    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    last_activity = models.DateTimeField(default=timezone.now)
    archived_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    purge_after = models.DateTimeField(null=True, blank=True)
    #: When its removal for good began; from then on nothing brings it back.
    purging_at = models.DateTimeField(null=True, blank=True)

    objects = SessionQuerySet.as_manager()

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        permissions: ClassVar = [("read_content", _("Can read what people wrote"))]
        indexes: ClassVar = [
            Index(fields=["account", "pinned", "last_activity", "id"], name="ch_session_shown"),
            Index(fields=["account", "updated_at", "id"], name="ch_session_updated"),
            Index(fields=["account", "changed"], name="ch_session_changed"),
            Index(fields=["state", "last_activity"], name="ch_session_due"),
            Index(
                fields=["purge_after"], condition=Q(state=State.DELETED), name="ch_session_purge"
            ),
            Index(
                fields=["id"],
                condition=Q(state=State.ARCHIVED, compressed=False),
                name="ch_session_to_pack",
            ),
            Index(
                fields=["id"],
                condition=Q(compressed=True, state__in=(State.ACTIVE, State.IDLE)),
                name="ch_session_to_unpack",
            ),
            Index(fields=["id"], condition=Q(damaged__gt=0), name="ch_session_damaged"),
        ]


class Block(Row):
    """The bodies of up to ten consecutive messages of an archived session, sealed as one."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, db_index=False, related_name="+")
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="blocks")
    body = SealedField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("block")
        verbose_name_plural = _("blocks")
        indexes: ClassVar = [Index(fields=["account", "changed"], name="ch_block_changed")]


class Message(Row):
    """One thing said. Siblings (same parent) are regenerated answers and edited questions."""

    class Status(models.TextChoices):
        COMPLETE = "complete", _("complete")
        FAILED = "failed", _("failed; can be tried again")

    # The composite indexes below begin with these; an index of its own would only cost writes.
    account = models.ForeignKey(
        Account, on_delete=models.CASCADE, db_index=False, related_name="messages"
    )
    session = models.ForeignKey(
        Session, on_delete=models.CASCADE, db_index=False, related_name="messages"
    )
    seq = models.PositiveIntegerField()
    #: The seq of the message this one follows; empty for a root.
    parent_seq = models.PositiveIntegerField(null=True)
    role = models.CharField(max_length=16, choices=[(role, role) for role in ROLES])
    status = models.CharField(max_length=16, choices=Status, default=Status.COMPLETE)
    #: Empty where ``block`` holds it.
    body = SealedField()
    block = models.ForeignKey(
        Block, null=True, on_delete=models.DO_NOTHING, db_index=False, related_name="messages"
    )
    #: Rises with each new text; 0 once a tombstone's was removed for good.
    revision = models.PositiveIntegerField(default=1)
    tokens = models.PositiveIntegerField(default=0)
    length = models.PositiveIntegerField(default=0)
    #: Order in time among all messages, and the row number in the search index.
    place = models.BigIntegerField(db_index=True)
    #: 0, or the version of the search index that holds the text.
    indexed = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    edited_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)

    objects = MessageQuerySet.as_manager()

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        constraints: ClassVar = [
            UniqueConstraint(fields=["session", "seq"], name="ch_message_session_seq")
        ]
        indexes: ClassVar = [
            Index(fields=["account", "changed"], name="ch_message_changed"),
            Index(
                fields=["deleted_at", "id"],
                condition=Q(deleted_at__isnull=False, revision__gt=0),
                name="ch_message_to_empty",
            ),
            # The database looks here whenever a block goes.
            Index(fields=["block"], condition=Q(block__isnull=False), name="ch_message_block"),
        ]


class Revision(Row):
    """An earlier text of a message that was changed in place."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="revisions")
    revision = models.PositiveIntegerField()
    body = SealedField()
    said_at = models.DateTimeField()
    replaced_at = models.DateTimeField()

    class Meta:
        verbose_name = _("revision")
        verbose_name_plural = _("revisions")
        constraints: ClassVar = [
            UniqueConstraint(fields=["message", "revision"], name="ch_revision_message_number")
        ]


class Vocabulary(models.Model):
    """The words of an account's messages and titles, sealed; derived, so it has no Changes."""

    account = models.OneToOneField(Account, on_delete=models.CASCADE, related_name="vocabulary")
    words = SealedField()
    revision = models.PositiveIntegerField(default=1)
    #: The journal's number up to which everything is in it.
    mark = models.BigIntegerField(default=0)
    #: The journal's number up to which it has no word that nothing says any more.
    checked = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("vocabulary")
        verbose_name_plural = _("vocabularies")

    def __str__(self) -> str:
        return f"vocabulary of {self.account_id}"


class Change(models.Model):
    """One row touched by one operation; with what it replaced, sealed."""

    account = models.ForeignKey(
        Account, on_delete=models.CASCADE, db_index=False, related_name="changes"
    )
    seq = models.BigIntegerField()
    at = models.DateTimeField()
    actor = models.ForeignKey(
        Account,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        db_index=False,
        related_name="+",
    )
    op = models.CharField(max_length=32)
    operation = models.UUIDField()
    table = models.CharField(max_length=16)
    row = models.UUIDField()
    session = models.UUIDField(null=True, blank=True)
    before = SealedField(null=True)

    class Meta:
        verbose_name = _("change")
        verbose_name_plural = _("changes")
        constraints: ClassVar = [
            UniqueConstraint(fields=["account", "seq"], name="ch_change_account_seq")
        ]
        indexes: ClassVar = [
            # What purges take away: of one session, and of the oldest.
            Index(
                fields=["session"],
                condition=Q(before__isnull=False),
                name="ch_change_before",
            ),
            Index(fields=["at"], condition=Q(before__isnull=False), name="ch_change_oldest"),
        ]

    def __str__(self) -> str:
        return f"{self.op} {self.seq}"


class Share(Row):
    """A grant on one session to a person or a group: which verbs, and until when."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="shares_given")
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="shares")
    grantee = models.ForeignKey(
        Account, null=True, blank=True, on_delete=models.CASCADE, related_name="shares_received"
    )
    group = models.ForeignKey(
        Group,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        db_constraint=False,
        related_name="+",
    )
    #: Bits of policy.VERBS.
    verbs = models.PositiveIntegerField()
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = ShareQuerySet.as_manager()

    class Meta:
        verbose_name = _("share")
        verbose_name_plural = _("shares")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(grantee=None) ^ Q(group=None), name="ch_share_one_grantee"
            ),
            UniqueConstraint(
                fields=["session", "grantee"],
                condition=Q(grantee__isnull=False),
                name="ch_share_grantee",
            ),
            UniqueConstraint(
                fields=["session", "group"],
                condition=Q(group__isnull=False),
                name="ch_share_group",
            ),
        ]
