"""What requests may hold and what answers hold; the verbs check the values themselves."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django.utils.datastructures import MultiValueDict
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from chathistory.text import ROLES

_UUID = re.compile("[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


class Strict(serializers.Serializer):  # type: ignore[type-arg]
    """Refuses fields that it does not know, so that a typing error is not lost silently."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the validated fields."""
        values = super().to_internal_value(data)
        known = set(self.fields)
        if isinstance(data, MultiValueDict):
            known.add("csrfmiddlewaretoken")  # the browsable API's forms bring it
        if unknown := sorted(set(data) - known):
            raise serializers.ValidationError({str(unknown[0]): "Unknown field."})
        return values


@extend_schema_field(str)
class Text(serializers.Field):  # type: ignore[type-arg]
    """Text as it was said, neither trimmed nor converted; the verb says what is wrong with it."""

    default_error_messages = {"invalid": "Text is needed, not {kind}."}

    def to_internal_value(self, data: Any) -> str:
        """Return the text."""
        if not isinstance(data, str):
            self.fail("invalid", kind=type(data).__name__)
        return data

    def to_representation(self, value: str) -> str:
        """Return the text."""
        return value


class Nothing(Strict):
    """A body that may only be empty, or an empty object."""


class Id(serializers.UUIDField):
    """A UUID as text, one that can tell things apart: not the nil one."""

    def to_internal_value(self, data: Any) -> UUID:
        """Return the UUID."""
        if not isinstance(data, str) or not _UUID.fullmatch(data) or not UUID(data).int:
            self.fail("invalid", value=data)
        return UUID(data)


class SessionCreate(Strict):
    """A new session."""

    session_id = Id(required=False)
    workflow_type = Text()
    title = Text(required=False, allow_null=True)
    metadata = serializers.DictField(required=False)


class SessionChange(Strict):
    """What of a session can be changed."""

    title = Text(required=False)
    pinned = serializers.BooleanField(required=False)
    tags = serializers.ListField(child=Text(), required=False)
    metadata = serializers.DictField(required=False)


class MessageCreate(Strict):
    """A new message; without ``parent_id`` it continues the branch shown, null starts a root."""

    id = Id(required=False)
    role = serializers.ChoiceField(choices=ROLES)
    content = Text(style={"base_template": "textarea.html"})
    parent_id = Id(required=False, allow_null=True)
    metadata = serializers.DictField(required=False)
    blocks = serializers.ListField(child=serializers.DictField(), required=False)
    tokens = serializers.IntegerField(required=False, min_value=0)


class MessageChange(Strict):
    """Another text; ``sibling`` keeps this one and says it beside."""

    content = Text(style={"base_template": "textarea.html"})
    sibling = serializers.BooleanField(default=False)


class Reply(Strict):
    """A question; without one the last question is asked again."""

    content = Text(required=False, style={"base_template": "textarea.html"})


class Fork(Strict):
    """Where to fork: by default at the message shown last."""

    message_id = Id(required=False)


class Pin(Strict):
    """Whether the session is to be pinned."""

    pinned = serializers.BooleanField(default=True)


class Bulk(Strict):
    """One verb for many sessions."""

    action = serializers.ChoiceField(choices=("tag", "untag", "delete", "restore"))
    session_ids = serializers.ListField(child=Id(), allow_empty=False)
    tags = serializers.ListField(child=Text(), required=False)


class JobCreate(Strict):
    """What is to be done; to ``sessions``, or what ``query`` finds, else it is everything."""

    kind = Text()
    sessions = serializers.ListField(child=Id(), required=False, allow_empty=False)
    query = Text(required=False)
    format = Text(required=False)


class Import(Strict):
    """A file of chats, and of what format it is where its content is not to tell."""

    file = serializers.FileField()
    format = serializers.CharField(required=False)
    copy = serializers.BooleanField(default=False)
    dry_run = serializers.BooleanField(default=False)


class MessageOut(serializers.Serializer):  # type: ignore[type-arg]
    """A message as it is answered."""

    id = serializers.UUIDField()
    session_id = serializers.UUIDField()
    parent_id = serializers.UUIDField(allow_null=True)
    seq = serializers.IntegerField()
    role = serializers.ChoiceField(choices=ROLES)
    author = serializers.CharField()
    content = serializers.CharField(allow_null=True)
    content_html = serializers.CharField(required=False)
    blocks = serializers.ListField(child=serializers.DictField())
    timestamp = serializers.DateTimeField()
    edited_at = serializers.DateTimeField(allow_null=True)
    deleted_at = serializers.DateTimeField(allow_null=True)
    revision = serializers.IntegerField()
    status = serializers.CharField()
    tokens = serializers.IntegerField()
    damaged = serializers.BooleanField()
    metadata = serializers.DictField()


class SessionOut(serializers.Serializer):  # type: ignore[type-arg]
    """A session as it is answered."""

    session_id = serializers.UUIDField()
    user_id = serializers.CharField()
    workflow_type = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    title = serializers.CharField(allow_null=True)
    title_source = serializers.CharField()
    preview = serializers.CharField(allow_null=True)
    state = serializers.CharField()
    version = serializers.IntegerField()
    pinned = serializers.BooleanField()
    tags = serializers.ListField(child=serializers.CharField())
    message_count = serializers.IntegerField()
    hold = serializers.BooleanField()
    archived_at = serializers.DateTimeField(allow_null=True)
    deleted_at = serializers.DateTimeField(allow_null=True)
    purge_after = serializers.DateTimeField(allow_null=True)
    damaged = serializers.BooleanField()
    metadata = serializers.DictField()


class SessionDetail(SessionOut):
    """A session with its newest messages."""

    head_id = serializers.UUIDField(allow_null=True)
    messages = MessageOut(many=True)
    has_more = serializers.BooleanField()
    earlier_cursor = serializers.CharField(allow_null=True)


class SessionList(serializers.Serializer):  # type: ignore[type-arg]
    """One page of sessions; by cursor it has no numbers."""

    sessions = SessionOut(many=True)
    total = serializers.IntegerField(required=False)
    page = serializers.IntegerField(required=False)
    page_size = serializers.IntegerField()
    total_pages = serializers.IntegerField(required=False)
    next_cursor = serializers.CharField(allow_null=True)


class MessageList(serializers.Serializer):  # type: ignore[type-arg]
    """One page of messages, oldest first."""

    messages = MessageOut(many=True)
    total = serializers.IntegerField()
    has_more = serializers.BooleanField()
    next_cursor = serializers.CharField(allow_null=True)


class HitOut(serializers.Serializer):  # type: ignore[type-arg]
    """A message found."""

    session_id = serializers.UUIDField()
    workflow_type = serializers.CharField()
    title = serializers.CharField(allow_null=True)
    message_id = serializers.UUIDField()
    seq = serializers.IntegerField()
    role = serializers.CharField()
    timestamp = serializers.DateTimeField()
    snippet = serializers.CharField()
    highlights = serializers.ListField(child=serializers.ListField())
    score = serializers.FloatField()
    path = serializers.ListField(child=serializers.ListField(child=serializers.IntegerField()))
    more = serializers.IntegerField(allow_null=True)


class FacetOut(serializers.Serializer):  # type: ignore[type-arg]
    """How many of the messages counted are of one kind."""

    value = serializers.CharField()
    count = serializers.IntegerField()


class FacetsOut(serializers.Serializer):  # type: ignore[type-arg]
    """What kinds of messages were found, and among how many that was counted."""

    counted = serializers.IntegerField()
    complete = serializers.BooleanField()
    workflow = FacetOut(many=True)
    month = FacetOut(many=True)
    role = FacetOut(many=True)
    tag = FacetOut(many=True)


class SearchOut(serializers.Serializer):  # type: ignore[type-arg]
    """What a search found.

    ``did_you_mean`` is a query that finds more, if words are unknown, and ``close`` its newest.
    """

    query = serializers.CharField()
    results = HitOut(many=True)
    sessions = SessionOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)
    complete = serializers.BooleanField()
    more_complete = serializers.BooleanField()
    did_you_mean = serializers.CharField(allow_null=True)
    close = HitOut(many=True)
    facets = FacetsOut(allow_null=True)


class PlaceOut(serializers.Serializer):  # type: ignore[type-arg]
    """A message by its id and its number in its chat."""

    message_id = serializers.UUIDField()
    seq = serializers.IntegerField()


class HitsOut(serializers.Serializer):  # type: ignore[type-arg]
    """Where in a chat something was found."""

    query = serializers.CharField()
    hits = PlaceOut(many=True)
    complete = serializers.BooleanField()


class FileOut(serializers.Serializer):  # type: ignore[type-arg]
    """The file that a job left: for a day it can be fetched from ``jobs/{id}/file``."""

    name = serializers.CharField()
    bytes = serializers.IntegerField()


class JobOut(serializers.Serializer):  # type: ignore[type-arg]
    """Long work and what came of it. ``cancel`` says that somebody asked for it to stop."""

    id = serializers.UUIDField()
    kind = serializers.CharField()
    state = serializers.CharField()
    progress = serializers.IntegerField()
    total = serializers.IntegerField(allow_null=True)
    cancel = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    file = FileOut(allow_null=True)
    result = serializers.JSONField(allow_null=True)
    error = serializers.JSONField(allow_null=True)


class JobList(serializers.Serializer):  # type: ignore[type-arg]
    """Jobs, newest first."""

    jobs = JobOut(many=True)


class BackupOut(serializers.Serializer):  # type: ignore[type-arg]
    """A sealed container in the backup storage; ``size`` in bytes."""

    id = serializers.UUIDField()
    kind = serializers.CharField()
    name = serializers.CharField()
    session_id = serializers.UUIDField(allow_null=True)
    whole_site = serializers.BooleanField()
    backup_time = serializers.DateTimeField()
    created_at = serializers.DateTimeField()
    size = serializers.IntegerField()
    verified_at = serializers.DateTimeField(allow_null=True)
    drilled_at = serializers.DateTimeField(allow_null=True)


class BackupList(serializers.Serializer):  # type: ignore[type-arg]
    """Backups, newest first."""

    backups = BackupOut(many=True)


class WorkflowOut(serializers.Serializer):  # type: ignore[type-arg]
    """One kind of conversation."""

    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    icon = serializers.CharField()
    description = serializers.CharField()


class WorkflowList(serializers.Serializer):  # type: ignore[type-arg]
    """What a site offers."""

    workflows = WorkflowOut(many=True)


class TagOut(serializers.Serializer):  # type: ignore[type-arg]
    """A tag and how many sessions bear it."""

    id = serializers.UUIDField()
    name = serializers.CharField(allow_null=True)
    sessions = serializers.IntegerField()


class TagList(serializers.Serializer):  # type: ignore[type-arg]
    """Your tags, by name."""

    tags = TagOut(many=True)


class BulkOut(serializers.Serializer):  # type: ignore[type-arg]
    """What became of each session: done, or the problem's code."""

    done = serializers.ListField(child=serializers.UUIDField())
    failed = serializers.DictField(child=serializers.CharField())


class HealthOut(serializers.Serializer):  # type: ignore[type-arg]
    """That the process answers."""

    status = serializers.CharField()
