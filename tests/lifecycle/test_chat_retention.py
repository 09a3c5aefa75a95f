"""``chat_retention``: what an operator sees, sets, runs and takes back."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from chathistory import ids
from chathistory.actions import accounts, retention, sessions
from chathistory.models import Change, RetentionPolicy, Session, Tag
from tests.actions.aging import DAY, HOUR, later

pytestmark = pytest.mark.django_db


def told(*arguments: str) -> str:
    """Return what the command says, errors after the rest."""
    out, err = StringIO(), StringIO()
    call_command("chat_retention", *arguments, stdout=out, stderr=err, no_color=True)
    return out.getvalue() + err.getvalue()


def test_it_shows_every_policy_and_whose_it_is(alice, talk):
    session = sessions.tag(talk("mine"), alice, ["work"])
    retention.set_policy(None, workflow="tutor", idle_after=5_400)
    retention.set_policy(None, account=session.account, delete_after=0, pinned_too=True)
    retention.set_policy(None, tag=Tag.objects.get(), delete_after=400 * 86_400, yes=True)
    lines = [re.split(r" {2,}", line) for line in told().splitlines()]
    assert lines == [
        ["", *(field.replace("_", " ") for field in retention.FIELDS), "said yes"],
        ["site", "1h", "30d", "never", "30d", "no", "no"],
        ["alice", "default", "default", "never", "default", "yes", "no"],
        ["alice, tag work", "default", "default", "400d", "default", "default", "yes"],
        ["tutor", "90m", "default", "default", "default", "default", "no"],
    ]


def test_a_dry_run_lists_what_a_run_then_does(alice, bob, talk, time_machine):
    old, his = talk("old"), talk("his", user=bob)
    later(time_machine, 31 * DAY)
    new = talk("new")
    later(time_machine, 2 * HOUR)
    listed = told("--dry-run")
    for verb, session, name in (("archive", old, "alice"), ("archive", his, "bob")):
        assert re.search(rf"^{verb} +{session.uuid}  {name}  ", listed, re.MULTILINE)
    assert re.search(rf"^idle +{new.uuid}  alice", listed, re.MULTILINE)
    counts = "0 moved to the trash, 2 archived, 1 made idle"
    assert f"The next run would have {counts}." in listed
    assert set(Session.objects.values_list("state", flat=True)) == {"active"}
    assert counts in told("--run")
    assert "0 archived, 0 made idle" in told("--dry-run")


def test_a_run_is_taken_back_by_its_name(talk, time_machine):
    talk("old")
    later(time_machine, 31 * DAY)
    (run,) = re.findall(r"^Run (\S+) has", told("--run"))
    with pytest.raises(CommandError, match="Change the policy first"):
        told("--undo", run)
    told("--set", "archive_after=never", "idle_after=never")
    assert "1 archived" in told("--undo", run)
    assert Session.objects.get().state == "active"
    assert "0 archived" in told("--undo", run)
    with pytest.raises(CommandError, match="no such run"):
        told("--undo", str(ids.new_id()))


def test_it_sets_policies_of_every_scope(alice, talk):
    sessions.tag(talk("mine"), alice, ["Work"])
    told("--set", "idle_after=30m")
    told("--set", "archive_after=10d", "pinned_too=yes", "--workflow", "tutor")
    told("--set", "trash_for=1w", "--account", "alice")
    said = told("--set", "delete_after=2w", "--account", "alice", "--tag", "work", "--yes")
    assert said.startswith("alice, tag Work: idle_after=default")
    assert "delete_after=14d" in said
    found = {
        (row.workflow, row.account_id is not None, row.tag_id is not None): row
        for row in RetentionPolicy.objects.all()
    }
    assert found["", False, False].idle_after == 1_800
    tutor = found["tutor", False, False]
    assert (tutor.archive_after, tutor.pinned_too) == (864_000, True)
    assert found["", True, False].trash_for == 7 * 86_400
    assert found["", True, True].confirmed
    told("--set", "idle_after=default", "pinned_too=default", "--workflow", "tutor")
    tutor.refresh_from_db()
    assert (tutor.idle_after, tutor.pinned_too) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--set", "idle_after=soon"], "idle_after=soon: A period such as"),
        (["--set", "idle_after"], "idle_after: A period such as"),
        (["--set", "forget_after=1h"], "no such rule"),
        (["--set", "pinned_too=1h"], "pinned_too is one of"),
        (["--set", "idle_after=9999999d"], "at most"),
        (["--set", "idle_after=1h", "--workflow", "nonsense"], "Unknown workflow"),
        (["--set", "idle_after=1h", "--account", "nobody"], "no user 'nobody'"),
        (["--set", "idle_after=1h", "--account", ""], "name is empty"),
        (["--set", "idle_after=1h", "--account", "alice", "--tag", ""], "no tag ''"),
        (["--set", "idle_after=1h", "--tag", "x"], "Whose tag"),
        (["--set", "idle_after=1h", "--account", "alice", "--tag", "x"], "no tag 'x'"),
        (["--set", "idle_after=1h", "--account", "alice", "--workflow", "tutor"], "or of an acc"),
        (["--hold", str(ids.new_id()), "--reason", "x"], "no such session"),
        (["--undo", "nonsense"], "invalid UUID"),
        (["--run", "--dry-run"], "not allowed with"),
        (["--run", "--account", "alice"], "--account goes only with --set"),
        (["--dry-run", "--workflow", "tutor"], "--workflow goes only with --set"),
        (["--workflow", "tutor"], "--workflow goes only with --set"),
        (["--run", "--tag", "x"], "--tag goes only with --set"),
        (["--run", "--yes"], "--yes goes only with --set or --undo"),
        (["--set", "idle_after=1h", "--reason", "x"], "--reason goes only with --hold or --rel"),
    ],
)
def test_what_makes_no_sense_is_refused(alice, arguments, why):
    accounts.of(alice)
    before = Change.objects.count(), RetentionPolicy.objects.count()
    with pytest.raises(CommandError, match=why):
        told(*arguments)
    assert (Change.objects.count(), RetentionPolicy.objects.count()) == before


def test_what_throws_everything_away_needs_yes_and_a_run_says_so(talk, time_machine):
    talk("one"), talk("two")
    later(time_machine, 2 * DAY)
    with pytest.raises(CommandError, match="all 2 sessions"):
        told("--set", "delete_after=1d")
    RetentionPolicy.objects.update(delete_after=86_400)
    for what in ("--dry-run", "--run"):
        said = told(what)
        assert "0 moved to the trash" in said
        assert "site: nothing goes to the trash" in said
    told("--set", "delete_after=1d", "--yes")
    assert "2 moved to the trash" in told("--run")


def test_a_session_is_held_and_let_go(talk):
    session = talk("evidence")
    with pytest.raises(CommandError, match="empty"):
        told("--hold", str(session.uuid))
    told("--hold", str(session.uuid), "--reason", "Case 12")
    assert Session.objects.get().hold
    told("--release", str(session.uuid), "--reason", "Closed")
    assert not Session.objects.get().hold


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit) as ended:
        call_command("chat_retention", "--help")
    assert ended.value.code == 0
    assert "chat_retention --dry-run" in " ".join(capsys.readouterr().out.split())
