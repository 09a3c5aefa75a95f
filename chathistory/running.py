"""Rows of the running site: its work, what it is to keep, who may ask, what is backed up."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Index, Q, UniqueConstraint
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .fields import MasterSealedField, SealedField
from .rows import Row


class Job(Row):
    """Long work somebody asked for. Arguments, result and error are sealed."""

    class State(models.TextChoices):
        QUEUED = "queued", _("queued")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    account = models.ForeignKey("Account", on_delete=models.CASCADE, related_name="jobs")
    kind = models.CharField(max_length=32)
    state = models.CharField(max_length=16, choices=State, default=State.QUEUED)
    progress = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(null=True, blank=True)
    arguments = SealedField(null=True)
    #: Result and error together; its revision rises each time it is written.
    result = SealedField(null=True)
    result_revision = models.PositiveIntegerField(default=0)
    #: Who works on it, and until when nobody else may; renewed while they do.
    holder = models.UUIDField(null=True, blank=True)
    lease = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    #: Whether somebody asked for it to stop.
    cancel = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        indexes: ClassVar = [
            Index(F("account"), F("id").desc(), name="ch_job_newest"),
            Index(
                fields=["state", "created_at"],
                condition=Q(state__in=("queued", "running")),
                name="ch_job_open",
            ),
        ]


class Lease(models.Model):
    """Which process alone does something, and until when."""

    name = models.CharField(max_length=64, unique=True)
    holder = models.UUIDField()
    until = models.DateTimeField()

    class Meta:
        verbose_name = _("lease")
        verbose_name_plural = _("leases")

    def __str__(self) -> str:
        return self.name


class Seeded(models.Model):
    """A beat entry that was made once: whoever deletes or renames it has the last word."""

    name = models.CharField(max_length=64, unique=True)

    class Meta:
        verbose_name = _("beat entry made")
        verbose_name_plural = _("beat entries made")

    def __str__(self) -> str:
        return self.name


class RetentionPolicy(Row):
    """How long what is kept where: of the site, a workflow, an account, or one of its tags.

    Times are seconds; empty means as the wider policy says, 0 means never.
    """

    account = models.ForeignKey(
        "Account", null=True, blank=True, on_delete=models.CASCADE, related_name="policies"
    )
    workflow = models.CharField(max_length=64, blank=True)
    tag = models.ForeignKey(
        "Tag", null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    idle_after = models.PositiveBigIntegerField(null=True, blank=True)
    archive_after = models.PositiveBigIntegerField(null=True, blank=True)
    delete_after = models.PositiveBigIntegerField(null=True, blank=True)
    trash_for = models.PositiveBigIntegerField(null=True, blank=True)
    #: Whether pinned sessions are archived and deleted like all others.
    pinned_too = models.BooleanField(null=True, blank=True)
    #: Whether somebody said yes to a policy that moves everything to the trash.
    confirmed = models.BooleanField(default=False)
    #: Since when it waits for that yes, or for being changed.
    refused_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("retention policy")
        verbose_name_plural = _("retention policies")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(workflow="") | Q(account=None, tag=None), name="ch_policy_one_scope"
            ),
            models.CheckConstraint(
                condition=Q(tag=None) | Q(account__isnull=False), name="ch_policy_tag_account"
            ),
            UniqueConstraint(
                fields=["workflow"], condition=Q(account=None), name="ch_policy_workflow"
            ),
            UniqueConstraint(
                fields=["account"],
                condition=Q(account__isnull=False, tag=None),
                name="ch_policy_account",
            ),
            UniqueConstraint(fields=["tag"], condition=Q(tag__isnull=False), name="ch_policy_tag"),
        ]


class Token(Row):
    """A key to the API for programs: only its hash is stored."""

    account = models.ForeignKey("Account", on_delete=models.CASCADE, related_name="tokens")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")


class Backup(Row):
    """A container in the backup storage; the storage is the truth, this row a list of it."""

    class Kind(models.TextChoices):
        FULL = "full", _("full")
        SEGMENT = "incremental", _("incremental")
        ARCHIVE = "archive", _("a person's archive")

    #: Whose; empty for the whole system.
    account = models.ForeignKey(
        "Account", null=True, blank=True, on_delete=models.SET_NULL, related_name="backups"
    )
    #: Uuid of the only session in it.
    session = models.UUIDField(null=True, blank=True)
    kind = models.CharField(max_length=16, choices=Kind)
    chain = models.UUIDField()
    number = models.PositiveIntegerField(default=0)
    #: SHA-256 of the container, which is its name, and of the one before it in the chain.
    name = models.CharField(max_length=64, unique=True)
    previous = models.CharField(max_length=64, blank=True)
    #: Everything committed by then is in it.
    at = models.DateTimeField(db_index=True)
    size = models.BigIntegerField(default=0)
    #: Rows by table.
    counts = models.JSONField(default=dict)
    key = MasterSealedField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    verified_at = models.DateTimeField(null=True, blank=True)
    drilled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("backup")
        verbose_name_plural = _("backups")
        indexes: ClassVar = [Index(fields=["chain", "number"], name="ch_backup_chain")]
