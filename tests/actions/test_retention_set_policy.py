"""retention.set_policy: how long what is kept, and what then holds for a session."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from chathistory import records
from chathistory.actions import accounts, retention, sessions
from chathistory.exceptions import Conflict, Invalid, LimitExceeded, NotAllowed, NotFound
from chathistory.models import Change, RetentionPolicy, Session, Tag
from tests.actions.aging import DAY, HOUR, later

AS_SEEDED = retention.Terms(HOUR, 30 * DAY, None, 30 * DAY, False)


@pytest.fixture
def clerk(db: None) -> User:
    """Somebody of the staff who may change policies."""
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="change_retentionpolicy"))
    return user


@pytest.fixture
def tagged(alice, talk):
    """Tag a session of Alice's, and return the tags by name."""

    def tag(session: Session, *names: str) -> list[Tag]:
        sessions.tag(session, alice, names)
        digests = [records.tag_digest(session.account, name) for name in names]
        rows = {tag.digest: tag for tag in Tag.objects.select_related("account")}
        return [rows[digest] for digest in digests]

    return tag


def days(number: int) -> int:
    return number * 86_400


def test_happy_of_each_field_the_most_specific_policy_holds(clerk, talk, tagged):
    session = talk("mine")
    assert retention.effective(session) == AS_SEEDED
    retention.set_policy(clerk, workflow="tutor", idle_after=120, trash_for=days(7))
    retention.set_policy(clerk, workflow="translator", idle_after=60)
    retention.set_policy(clerk, account=session.account, idle_after=180, pinned_too=True)
    (work,) = tagged(session, "work")
    retention.set_policy(None, tag=work, delete_after=days(400), pinned_too=False)
    assert retention.effective(session) == retention.Terms(
        timedelta(seconds=180), 30 * DAY, 400 * DAY, 7 * DAY, False
    )


def test_happy_of_several_tags_the_longest_holds_and_never_is_longest(alice, talk, tagged):
    session = talk("mine")
    short, long, silent = tagged(session, "short", "long", "silent")
    retention.set_policy(alice, tag=short, archive_after=days(1), pinned_too=True)
    retention.set_policy(alice, tag=long, archive_after=days(9))
    retention.set_policy(alice, tag=silent, idle_after=60)
    found = retention.effective(session)
    assert (found.archive_after, found.idle_after) == (9 * DAY, timedelta(minutes=1))
    assert found.pinned_too
    retention.set_policy(alice, tag=long, archive_after=0, pinned_too=False)
    found = retention.effective(session)
    assert (found.archive_after, found.pinned_too) == (None, False)


@pytest.mark.parametrize("pinned", [False, True])
def test_happy_what_is_due_is_what_the_terms_of_each_session_say(
    alice, bob, clerk, talk, tagged, time_machine, pinned
):
    """The selection in SQL and the terms in Python are two readings of the same policies."""
    mine = [talk(str(n), workflow=("tutor", "translator")[n % 2]) for n in range(8)]
    talk("his", user=bob), talk("his", user=bob, workflow="translator")
    names = [(), ("a",), ("b",), ("a", "b"), ("c",), ("a", "c"), ("never",), ("a", "never")]
    tags = {}
    for session, some in zip(mine, names, strict=True):
        tags |= dict(zip(some, tagged(session, *some), strict=True)) if some else {}
    Session.objects.update(pinned=pinned)
    retention.set_policy(clerk, delete_after=days(300))
    retention.set_policy(clerk, workflow="translator", delete_after=days(20), archive_after=0)
    retention.set_policy(clerk, account=mine[0].account, archive_after=days(10), pinned_too=True)
    retention.set_policy(alice, tag=tags["a"], archive_after=days(3), pinned_too=False)
    retention.set_policy(alice, tag=tags["b"], archive_after=days(5), delete_after=days(30))
    retention.set_policy(alice, tag=tags["c"], delete_after=days(40), pinned_too=True)
    retention.set_policy(alice, tag=tags["never"], delete_after=0, archive_after=0)
    for age in (1, 4, 6, 11, 21, 31, 41, 301):
        at = timezone.now() + age * DAY
        for verb, field in retention.AFTER.items():
            wanted = set()
            for session in Session.objects.all():
                terms = retention.effective(session)
                after = getattr(terms, field)
                free = verb == "idle" or terms.pinned_too or not pinned
                if free and after and session.last_activity < at - after:
                    wanted.add(session.pk)
            found = [row.pk for part in retention.due(verb, at) for row in part]
            assert sorted(found) == sorted(wanted), (age, verb)


def test_happy_it_is_journalled_with_what_it_said_before(clerk, alice):
    policy = retention.set_policy(clerk, idle_after=60)
    change = Change.objects.latest("pk")
    system = accounts.system()
    assert (change.op, change.table, change.row) == ("policy.set", "policy", policy.uuid)
    assert (change.account, change.actor) == (system, accounts.of(clerk))
    assert (policy.changed, change.before is None) == (change.seq, False)
    mine = retention.set_policy(clerk, account=accounts.of(alice), idle_after=60)
    change = Change.objects.get(account=accounts.of(alice))
    assert (change.row, change.seq, change.before) == (mine.uuid, mine.changed, None)


def test_stranger_may_set_none_but_of_their_own_tags(alice, bob, nobody, talk, tagged):
    session = talk("mine")
    (work,) = tagged(session, "work")
    alice.is_staff = True
    scopes = ({}, {"workflow": "tutor"}, {"account": session.account})
    for user in (alice, bob, nobody):
        for scope in scopes:
            with pytest.raises(NotAllowed):
                retention.set_policy(user, **scope, idle_after=60)
    for user in (bob, nobody):
        with pytest.raises(NotFound):
            retention.set_policy(user, tag=work, idle_after=60)
    assert RetentionPolicy.objects.count() == 1
    assert retention.set_policy(alice, tag=work, idle_after=60).account == session.account


def test_stranger_of_the_staff_sets_no_tag_of_others(clerk, talk, tagged):
    (work,) = tagged(talk("mine"), "work")
    with pytest.raises(NotFound):
        retention.set_policy(clerk, tag=work, idle_after=60)


@pytest.mark.parametrize("field", retention.TIMES)
@pytest.mark.parametrize("value", [-1, 1.5, "60", True, [], 10**30])
def test_malformed_times_are_refused(db, field, value):
    error = LimitExceeded if value == 10**30 else Invalid
    with pytest.raises(error) as refused:
        retention.set_policy(None, **{field: value})
    assert refused.value.data["field"] == field


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"pinned_too": 1}, "pinned_too"),
        ({"pinned_too": "yes"}, "pinned_too"),
        ({"forget_after": 60}, "forget_after"),
        ({"confirmed": True}, "confirmed"),
        ({"workflow": "nonsense", "idle_after": 1}, "workflow"),
    ],
)
def test_malformed_rules_are_refused(db, said, field):
    with pytest.raises(Invalid) as refused:
        retention.set_policy(None, **said)
    assert refused.value.field == field
    assert not Change.objects.exists()


def test_malformed_scopes_are_refused(talk, tagged):
    session = talk("mine")
    (work,) = tagged(session, "work")
    for scope in (
        {"workflow": "tutor", "account": session.account},
        {"workflow": "tutor", "tag": work},
        {"account": accounts.system(), "tag": work},
    ):
        with pytest.raises(Invalid):
            retention.set_policy(None, **scope, idle_after=60)


def test_malformed_what_would_throw_everything_away_needs_a_yes(alice, bob, talk, time_machine):
    talk("one"), talk("two"), talk("his", user=bob)
    later(time_machine, 2 * DAY)
    kept = RetentionPolicy.objects.values().get()
    with pytest.raises(Conflict) as refused:
        retention.set_policy(None, delete_after=days(1))
    assert refused.value.data["sessions"] == 3
    with pytest.raises(Conflict) as refused:
        retention.set_policy(None, account=accounts.of(alice), delete_after=days(1))
    assert refused.value.data["sessions"] == 2
    with pytest.raises(Conflict):
        retention.set_policy(None, workflow="tutor", delete_after=days(1))
    assert RetentionPolicy.objects.values().get() == kept
    assert retention.set_policy(None, workflow="tutor", delete_after=days(1), yes=True).confirmed
    assert not retention.set_policy(None, delete_after=days(1)).confirmed, "it holds for none"


@pytest.mark.parametrize("said", [{"trash_for": 1}, {"idle_after": 0}, {"archive_after": None}])
def test_malformed_what_it_does_not_touch_needs_no_yes(talk, time_machine, said):
    talk("one")
    retention.set_policy(None, delete_after=days(1))
    later(time_machine, 2 * DAY)
    policy = retention.set_policy(None, **said)
    assert (policy.delete_after, policy.confirmed) == (days(1), False)
    with pytest.raises(Conflict):
        retention.set_policy(None, pinned_too=True)


@pytest.mark.parametrize("spared", ["a new one", "a pin", "a hold", "a longer tag"])
def test_malformed_or_not_is_a_matter_of_a_single_session(
    alice, talk, tagged, time_machine, spared
):
    talk("one")
    other = talk("two")
    if spared == "a pin":
        sessions.pin(other, alice)
    if spared == "a hold":
        Session.objects.filter(pk=other.pk).update(hold=True)
    first, second = tagged(other, "first", "second")
    later(time_machine, 2 * DAY)
    if spared == "a new one":
        talk("three")
    if spared == "a longer tag":
        retention.set_policy(None, tag=second, delete_after=days(9))
        with pytest.raises(Conflict):
            retention.set_policy(None, delete_after=days(1))
        retention.set_policy(None, tag=first, delete_after=days(1))
        return
    assert not retention.set_policy(None, delete_after=days(1)).confirmed


def test_repeated_writes_nothing(db):
    first = retention.set_policy(None, idle_after=60, pinned_too=True)
    changes = Change.objects.count()
    again = retention.set_policy(None, idle_after=60, pinned_too=True)
    assert (again.changed, again.updated_at) == (first.changed, first.updated_at)
    assert Change.objects.count() == changes


def test_repeated_a_yes_lasts_until_what_it_was_said_to_changes(db):
    assert retention.set_policy(None, delete_after=60, yes=True).confirmed
    assert retention.set_policy(None, idle_after=60).confirmed
    assert retention.set_policy(None, delete_after=60).confirmed
    assert not retention.set_policy(None, delete_after=30).confirmed


def test_repeated_a_policy_is_added_once(db):
    policy = retention.set_policy(None, workflow="tutor", idle_after=60, add=True)
    with pytest.raises(Conflict) as refused:
        retention.set_policy(None, workflow="tutor", idle_after=90, add=True)
    assert refused.value.data["policy"] == str(policy.uuid)
    assert RetentionPolicy.objects.get(workflow="tutor").idle_after == 60


@pytest.mark.django_db(transaction=True)
def test_concurrent_settings_make_one_policy(alice, together):
    account = accounts.of(alice)
    fields = ("idle_after", "archive_after", "delete_after", "trash_for")
    done = together(
        *[lambda f=f: retention.set_policy(None, account=account, **{f: 9}) for f in fields]
    )
    assert not [one for one in done if isinstance(one, Exception)], done
    policy = RetentionPolicy.objects.get(account=account)
    assert [getattr(policy, field) for field in fields] == [9] * 4


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("1h", 3_600),
        ("90m", 5_400),
        (" 30D ", days(30)),
        ("2 w", days(14)),
        ("45", 45),
        ("45s", 45),
        ("never", 0),
        ("0", 0),
        ("Default", None),
    ],
)
def test_periods_are_read_and_told(said, seconds):
    assert retention.seconds(said) == seconds
    assert retention.seconds(retention.period(seconds)) == seconds


@pytest.mark.parametrize("said", ["", "h", "1y", "-1h", "1.5h", "1h30m", "١h", "9" * 20])
def test_what_is_no_period_is_refused(said):
    with pytest.raises(Invalid) as refused:
        retention.seconds(said, "idle_after")
    assert refused.value.field == "idle_after"


def test_seeding_again_keeps_what_was_set(db):
    retention.set_policy(None, idle_after=60)
    retention.seed()
    assert RetentionPolicy.objects.get().idle_after == 60
