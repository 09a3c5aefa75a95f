"""How long what is kept: the policies, what they say of a session, and which sessions are due.

A policy is the site's, a workflow's, an account's, or one of an account's tags'. Each of its
fields may be empty; of each field, what the most specific policy says holds. Of several tags that
say something, the longest holds, and 0 (never) is longer than all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, Exists, OuterRef, Q, QuerySet, Value, When
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from chathistory import bulk, workflows
from chathistory.exceptions import (
    Conflict,
    Damaged,
    Invalid,
    LimitExceeded,
    MasterKeyError,
    NotAllowed,
    NotFound,
)
from chathistory.journal import Operation
from chathistory.models import Account, RetentionPolicy, Session, Tag
from chathistory.querysets import SessionQuerySet
from chathistory.states import LIVE, before

from . import accounts

_DAY = 86_400
#: What a new site keeps; empty and 0 mean for ever.
DEFAULTS = {"idle_after": 3_600, "archive_after": 30 * _DAY, "trash_for": 30 * _DAY}
#: The field that says when the site does a verb by itself.
AFTER = {"delete": "delete_after", "archive": "archive_after", "idle": "idle_after"}
TIMES = ("idle_after", "archive_after", "delete_after", "trash_for")
FIELDS = (*TIMES, "pinned_too")
PERMISSION = "chathistory.change_retentionpolicy"

_LONGEST = 100 * 365 * _DAY
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": _DAY, "w": 7 * _DAY}
_PERIOD = re.compile(r"(\d{1,12})\s*([smhdw]?)", re.ASCII)
_ALL, _NONE = ~Q(pk__in=[]), Q(pk__in=[])


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one session; None is never."""

    idle_after: timedelta | None
    archive_after: timedelta | None
    delete_after: timedelta | None
    trash_for: timedelta | None
    pinned_too: bool


def seed() -> None:
    """Give the site its policy, unless it has one; it is no change of anybody's."""
    RetentionPolicy.objects.get_or_create(
        account=None, workflow="", defaults=DEFAULTS | {"pinned_too": False}
    )


def effective(session: Session) -> Terms:
    """Return what holds for a session."""
    return effective_all([session])[0]


def effective_all(sessions: Sequence[Session]) -> list[Terms]:
    """Return what holds for each session, in two queries."""
    tags: dict[int, set[int]] = {row.pk: set() for row in sessions}
    for session, tag in Session.tags.through.objects.filter(session__in=tags).values_list(
        "session_id", "tag_id"
    ):
        tags[session].add(tag)
    policies = list(
        RetentionPolicy.objects.filter(
            Q(account=None, workflow__in={"", *(row.workflow for row in sessions)})
            | Q(account__in={row.account_id for row in sessions}, tag=None)
            | Q(tag__in=set().union(*tags.values()))
        )
    )
    return [_terms(_levels(policies, row, tags[row.pk])) for row in sessions]


def trash_for(session: Session) -> timedelta | None:
    """Return how long a session stays in the trash; None is until somebody purges it."""
    return effective(session).trash_for


def _levels(
    policies: Iterable[RetentionPolicy], session: Session, tags: set[int]
) -> list[list[RetentionPolicy]]:
    """Return the policies whose scope a session is in, the most specific level first."""
    found: dict[str, list[RetentionPolicy]] = {name: [] for name in _LEVELS}
    for policy in policies:
        if policy.tag_id in tags or (
            policy.tag_id is None
            and policy.account_id in (None, session.account_id)
            and policy.workflow in ("", session.workflow)
        ):
            found[_level(policy)].append(policy)
    return [found[name] for name in reversed(_LEVELS)]


def _terms(levels: list[list[RetentionPolicy]]) -> Terms:
    def first(field: str) -> Any:
        for level in levels:
            said = [getattr(policy, field) for policy in level]
            if said := [value for value in said if value is not None]:
                return 0 if 0 in said else max(said)
        return None

    def time(field: str) -> timedelta | None:
        value = first(field)
        return timedelta(seconds=value) if value else None

    return Terms(**{field: time(field) for field in TIMES}, pinned_too=bool(first("pinned_too")))


# Policies


def set_policy(
    user: Any,
    *,
    workflow: str = "",
    account: Account | None = None,
    tag: Tag | None = None,
    yes: bool = False,
    add: bool = False,
    **said: Any,
) -> RetentionPolicy:
    """Change what a policy says; the one of the site where no scope is given.

    ``said`` are seconds by field of ``TIMES`` and ``pinned_too``: None is what the wider policy
    says, 0 is never. Staff set policies of the site, a workflow or an account; a tag's are its
    owner's. A policy that would move every live session of its scope to the trash needs ``yes``,
    now and whenever it runs. The same again writes nothing. ``add`` is only for a scope without.

    Raises NotAllowed, NotFound, Invalid, LimitExceeded, or Conflict naming how many ``sessions``,
    or the ``policy`` that is there already.
    """
    account = _owner(user, workflow, account, tag)
    wanted = {field: _clean(field, value) for field, value in said.items()}
    scope = {"workflow": workflow, "account": account, "tag": tag}
    actor = None if user is None else accounts.of(user)
    with Operation(account or accounts.system(), actor, "policy.set") as op:
        policy = RetentionPolicy.objects.filter(**scope).first() or RetentionPolicy(**scope)
        if add and policy.pk is not None:
            raise Conflict(_("There is a policy of this already."), policy=str(policy.uuid))
        old = {field: getattr(policy, field) for field in (*FIELDS, "confirmed", "refused_at")}
        loosens = _loosens(wanted, old)
        wanted["confirmed"] = yes or (policy.confirmed and not loosens)
        wanted["refused_at"] = None if yes or loosens else policy.refused_at
        if policy.pk is None or wanted.items() - old.items():
            _store(op, policy, wanted, old)
        if loosens:
            _refuse_everything(policy, op.at)
    return policy


def _store(
    op: Operation, policy: RetentionPolicy, wanted: dict[str, Any], old: dict[str, Any]
) -> None:
    is_new = policy.pk is None
    times = {"updated_at": policy.updated_at, "refused_at": policy.refused_at}
    old = old | {name: at and at.isoformat() for name, at in times.items()}
    for field, value in wanted.items():
        setattr(policy, field, value)
    policy.updated_at = op.at
    policy.created_at = op.at if is_new else policy.created_at
    policy.changed = op.record("policy", policy.uuid, before=None if is_new else old)
    policy.save()


def _loosens(wanted: dict[str, Any], old: dict[str, Any]) -> bool:
    """Tell whether what somebody said yes to is about to become something else."""
    return any(
        field in wanted and wanted[field] != old[field] for field in ("delete_after", "pinned_too")
    )


def _owner(user: Any, workflow: str, account: Account | None, tag: Tag | None) -> Account | None:
    """Return whose policy it is; None for the site's. Raises for whom may not set it."""
    if tag is not None:
        if user is not None and tag.account.user_id != user.pk:
            raise NotFound(_("There is no such tag."))
        if workflow or account not in (None, tag.account):
            raise Invalid(_("A tag's policy has no other scope."), field="tag")
        return tag.account
    if user is not None and not (user.is_active and user.is_staff and user.has_perm(PERMISSION)):
        raise NotAllowed(_("Only staff who may change retention policies set this one."))
    if workflow and account is not None:
        raise Invalid(_("A policy is of a workflow or of an account."), field="workflow")
    if workflow and workflow not in workflows.known():
        names = ", ".join(workflows.known())
        raise Invalid(_("Unknown workflow; one of: %s.") % names, field="workflow")
    return account


def _clean(field: str, value: Any) -> Any:
    if field not in FIELDS:
        names = ", ".join(FIELDS)
        raise Invalid(_("There is no such rule; one of: %s.") % names, field=field)
    if field == "pinned_too":
        if not isinstance(value, bool | None):
            raise Invalid(_("Yes, no, or as the wider policy says."), field=field)
        return value
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise Invalid(_("A whole number of seconds is needed; 0 is never."), field=field)
    return _bounded(value, field)


def _bounded(value: int | None, field: str) -> int | None:
    if value is not None and value > _LONGEST:
        raise LimitExceeded(_("Seconds"), _LONGEST, value, field=field)
    return value


def seconds(period: str, field: str = "") -> int | None:
    """Return the seconds that a period such as ``1h`` or ``30d`` is.

    ``never`` is 0 and ``default`` is None: what the wider policy says. Raises Invalid or
    LimitExceeded.
    """
    words = {"never": 0, "default": None}
    if (given := period.strip().lower()) in words:
        return words[given]
    found = _PERIOD.fullmatch(given)
    if found is None:
        raise Invalid(_("A period such as 90m, 1h or 30d, or never, or default."), field=field)
    return _bounded(int(found[1]) * _UNITS[found[2] or "s"], field)


def period(value: int | None) -> str:
    """Return seconds as ``seconds`` reads them."""
    if not value:
        return "default" if value is None else "never"
    unit = next(unit for unit in reversed(_UNITS) if value % _UNITS[unit] == 0 and unit != "w")
    return f"{value // _UNITS[unit]}{unit}"


# Which sessions


def due(
    verb: str, now: datetime, refused: Collection[RetentionPolicy] = ()
) -> list[SessionQuerySet]:
    """Return the sessions that the site is to do ``verb`` to at ``now``: disjoint parts.

    A pinned session is neither archived nor deleted unless its policy says so, and one on hold
    not deleted. What the ``refused`` policies say of the trash is left alone.
    """
    live = Session.objects.filter(state__in=before(verb))
    spared = refused if verb == "delete" else ()
    return [live.filter(part) for part in _parts(verb, now, spared)]


def again(verb: str, now: datetime, sessions: SessionQuerySet) -> int:
    """Return how many of ``sessions`` would be due at once if ``verb`` were undone."""
    refused = refusals(now) if verb == "delete" else ()
    return sum(sessions.filter(part).count() for part in _parts(verb, now, refused))


def refusals(now: datetime) -> list[RetentionPolicy]:
    """Return the policies that would move every live session of their scope to the trash now.

    Those that were refused before are among them, until somebody says yes or changes them.
    """
    wary = RetentionPolicy.objects.filter(confirmed=False, delete_after__gt=0).order_by("pk")
    rows = wary.select_related("account").iterator()
    return [policy for policy in rows if policy.refused_at or _takes_everything(policy, now)]


def refuse(now: datetime) -> list[RetentionPolicy]:
    """Return the refusals, and keep them: a session that is spared later does not lift them."""
    refused = refusals(now)
    for policy in refused:
        if policy.refused_at is None:
            # An account whose keys do not open has no journal; the next run refuses again.
            with suppress(Damaged, MasterKeyError):
                _keep_refused(policy)
    return refused


def _keep_refused(policy: RetentionPolicy) -> None:
    with Operation(policy.account or accounts.system(), None, "policy.refuse") as op:
        row = bulk.get(RetentionPolicy, id=policy.pk, changed=policy.changed)
        if row is not None:
            row.refused_at = op.at
            row.changed = op.record("policy", row.uuid, before={"refused_at": None})
            bulk.update(row, ["refused_at", "changed"])


def _parts(verb: str, now: datetime, refused: Collection[RetentionPolicy]) -> list[Q]:
    field = AFTER[verb]
    exempt = _exempt(verb)
    values = sorted({value for values in _said(field).values() for value in values if value})
    return [
        Q(last_activity__lt=now - timedelta(seconds=value))
        & _holds(field, value, refused)
        & ~exempt
        for value in values
    ]


def _exempt(verb: str) -> Q:
    """Return what the site leaves alone: pins, and what is on hold."""
    if verb == "idle":
        return _NONE
    pinned = Q(pinned=True) & ~_holds("pinned_too", True)
    return pinned | Q(hold=True) if verb == "delete" else pinned


def _refuse_everything(policy: RetentionPolicy, now: datetime) -> None:
    if policy.confirmed or not policy.delete_after or not _takes_everything(policy, now):
        return
    count = _governed(policy).count()
    message = ngettext(
        "This would move the only session it is about to the trash. Say yes to want that.",
        "This would move all %(count)s sessions it is about to the trash. Say yes to want that.",
        count,
    )
    raise Conflict(message % {"count": f"{count:,}"}, sessions=count)


def _takes_everything(policy: RetentionPolicy, now: datetime) -> bool:
    live = _governed(policy)
    spared = Q(last_activity__gte=now - timedelta(seconds=policy.delete_after or 0))
    # The first is quick by its index, and seldom finds nothing.
    return (
        not live.filter(spared).exists()
        and live.exists()
        and not live.filter(_exempt("delete")).exists()
    )


def _governed(policy: RetentionPolicy) -> SessionQuerySet:
    """Return the live sessions for which this policy says when they are deleted."""
    says = RetentionPolicy.objects.exclude(delete_after=None)
    mine = _LEVELS[_level(policy)](RetentionPolicy.objects.filter(pk=policy.pk))
    if policy.tag_id is not None:
        mine &= ~_tagged(_longer("delete_after", policy.delete_after or 0))
    else:
        for name in list(_LEVELS)[list(_LEVELS).index(_level(policy)) + 1 :]:
            mine &= ~_LEVELS[name](says)
    return Session.objects.filter(mine, state__in=LIVE)


def _holds(field: str, value: int, refused: Collection[RetentionPolicy] = ()) -> Q:
    """Return which sessions ``value`` holds for, unless a ``refused`` policy says it."""
    says = RetentionPolicy.objects.exclude(**{field: None})
    same = says.filter(**{field: value}).exclude(pk__in=[policy.pk for policy in refused])
    found, said = _NONE, _said(field)
    for name, level in _LEVELS.items():
        if not said[name]:
            continue
        here = _NONE if value not in said[name] else level(same)
        if name == "tag":
            here &= ~_tagged(_longer(field, value))
        found = here | (found & ~level(says))
    return found


def _longer(field: str, value: int) -> QuerySet[RetentionPolicy]:
    """Return the tag policies that win over one that says ``value``."""
    rows = RetentionPolicy.objects.exclude(**{field: None})
    if field == "pinned_too":
        return rows.filter(pinned_too=False) if value else rows.none()
    return rows.filter(Q(**{field: 0}) | Q(**{f"{field}__gt": value})) if value else rows.none()


def _said(field: str) -> dict[str, set[int]]:
    """Return the values that the policies of each level say."""
    found: dict[str, set[int]] = {name: set() for name in _LEVELS}
    level = Case(
        When(tag__isnull=False, then=Value("tag")),
        When(account__isnull=False, then=Value("account")),
        When(workflow="", then=Value("site")),
        default=Value("workflow"),
    )
    rows = RetentionPolicy.objects.exclude(**{field: None}).annotate(level=level)
    for name, value in rows.values_list("level", field).distinct():
        found[name].add(value)
    return found


def _level(policy: RetentionPolicy) -> str:
    if policy.tag_id is not None:
        return "tag"
    if policy.account_id is not None:
        return "account"
    return "workflow" if policy.workflow else "site"


def _everywhere(policies: QuerySet[RetentionPolicy]) -> Q:
    return _ALL if policies.filter(account=None, workflow="").exists() else _NONE


def _in_workflow(policies: QuerySet[RetentionPolicy]) -> Q:
    return Q(workflow__in=policies.exclude(workflow="").values("workflow"))


def _of_account(policies: QuerySet[RetentionPolicy]) -> Q:
    return Q(account__in=policies.filter(account__isnull=False, tag=None).values("account"))


def _tagged(policies: QuerySet[RetentionPolicy]) -> Q:
    tags = policies.filter(tag__isnull=False).values("tag")
    return Q(Exists(Session.tags.through.objects.filter(session=OuterRef("pk"), tag__in=tags)))


#: How to find the sessions in the scope of policies, the widest level first.
_LEVELS = {
    "site": _everywhere,
    "workflow": _in_workflow,
    "account": _of_account,
    "tag": _tagged,
}
