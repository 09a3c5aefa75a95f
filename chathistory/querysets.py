"""The gate: every look-up of a door goes through one of these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from . import policy
from .exceptions import NotAllowed, NotFound
from .states import State

if TYPE_CHECKING:
    from .models import Message, Session, Share  # noqa: F401  (the base below names it)


class ShareQuerySet(QuerySet["Share"]):
    """Grants."""

    def in_force(self, user: Any, verb: str) -> ShareQuerySet:
        """Return the unexpired grants that let ``user``, alone or by a group, do ``verb``."""
        to = Q(grantee__user=user) | Q(group__in=user.groups.values("pk"))
        live = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        allowed = F("verbs").bitand(policy.VERBS[verb])
        return self.filter(to, live).annotate(allowed=allowed).filter(allowed__gt=0)


class SessionQuerySet(QuerySet["Session"]):
    """Sessions, narrowed by who asks."""

    def mine(self, user: Any) -> SessionQuerySet:
        """Return what ``user`` owns, in every state."""
        if not _known(user):
            return self.none()
        from .models import Account  # the models import their querysets

        return self.filter(account=Account.objects.filter(user=user).values("pk")[:1])

    def shared_with(self, user: Any, verb: str) -> SessionQuerySet:
        """Return what others let ``user`` do ``verb`` to; nothing that is in their trash."""
        if not _known(user):
            return self.none()
        grants = self._grants(user, verb)
        return self.filter(pk__in=grants).exclude(state=State.DELETED).exclude(account__user=user)

    def visible_to(self, user: Any, verb: str) -> SessionQuerySet:
        """Return the sessions ``user`` may do ``verb`` to; ``user=None`` is the system itself.

        For single rows and narrowing; lists merge ``mine`` and ``shared_with`` instead.
        """
        if user is None:
            return self.all()
        if not _known(user):
            return self.none()
        shared = Q(pk__in=self._grants(user, verb)) & ~Q(state=State.DELETED)
        return self.filter(Q(account__user=user) | shared)

    def reach(self, user: Any, uuid: UUID | str, verb: str = "read") -> Session:
        """Return one session with its account. Raises NotFound to whom may not see it.

        Most people ask for what is their own: that look-up is tried first, at half the cost.
        """
        rows = self.select_related("account").filter(uuid=uuid)
        found = rows.mine(user).first() or rows.visible_to(user, verb).first()
        if found is None:
            raise NotFound("There is no such session.")
        return found

    def _grants(self, user: Any, verb: str) -> QuerySet[Any, Any]:
        from .models import Share  # the models import their querysets

        return Share.objects.in_force(user, verb).values("session")


class MessageQuerySet(QuerySet["Message"]):
    """Messages, narrowed by who asks."""

    def visible_to(self, user: Any, verb: str) -> MessageQuerySet:
        """Return the messages of the sessions that ``user`` may do ``verb`` to."""
        if user is None:
            return self.all()
        from .models import Session  # the models import their querysets

        return self.filter(session__in=Session.objects.visible_to(user, verb).values("pk"))

    def reach(self, user: Any, uuid: UUID | str, verb: str = "read") -> Message:
        """Return one message with its session and account. Raises NotFound."""
        rows = self.visible_to(user, verb).select_related("session__account")
        found = rows.filter(uuid=uuid).first()
        if found is None:
            raise NotFound("There is no such message.")
        return found


def require(user: Any, session: Session, verb: str) -> None:
    """Ask whether ``user`` may do ``verb`` to a session at hand; ``None`` is the system itself.

    ``own`` is a verb that no grant holds. Raises NotFound to whom may not even read it, and
    NotAllowed to whom may.
    """
    if user is None or (_known(user) and session.account.user_id == user.pk):
        return
    manager = type(session).objects
    if verb != "own" and manager.visible_to(user, verb).filter(pk=session.pk).exists():
        return
    if manager.visible_to(user, "read").filter(pk=session.pk).exists():
        raise NotAllowed(f"This session was shared with you, but not to {verb} it.", verb=verb)
    raise NotFound("There is no such session.")


def _known(user: Any) -> bool:
    return bool(user is not None and user.is_authenticated and user.is_active)
