"""The life of sessions, by chance; `machine.py` beside it takes as many steps as you like.

Alice owns, Bob is invited, Charlie is a stranger; a clock that only the machine moves. Beside the
real rows lives a plain model, and after every step:

1. each row is as the model says: state, pin, hold, last activity, the times of archive and trash;
2. a session in the trash, and no other, has a time of deletion, and is kept as long as the policy
   of that moment says;
3. what a look ahead lists is what the model says is due: nothing is archived or deleted early,
   no pin or hold is overlooked, and nothing that is due is passed over;
4. a run does exactly what a look ahead listed, each session once;
5. a run that is undone leaves what has not changed since as it was before;
6. no session is lost, and no message;
7. the journal is dense, each row carries its newest Change, and its version counts them;
8. whatever Charlie tries ends in NotFound and changes nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import time_machine
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chathistory import policy as grants
from chathistory import records
from chathistory.actions import accounts, lifecycle, messages, retention, sessions
from chathistory.exceptions import Conflict, NotFound
from chathistory.models import Account, Change, Session, Share, Tag

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WORKFLOWS = ("tutor", "translator")
TAGS = ("work", "travel")
LEVELS = ("site", "workflow", "account", "tag")
#: Each time as likely as its neighbours: about an hour, about a month, and beyond.
TIMES = (MINUTE, 59 * MINUTE, 61 * MINUTE, 5 * HOUR, 2 * DAY, 29 * DAY, 31 * DAY, 100 * DAY)
PERIODS = (None, 0, *(int(time.total_seconds()) for time in TIMES[1:]))
STEPS = 50


@dataclass
class Chat:
    """What the model knows of a session."""

    workflow: str
    tags: frozenset[str]
    last_activity: datetime
    state: str = "active"
    pinned: bool = False
    hold: bool = False
    archived_at: datetime | None = None
    deleted_at: datetime | None = None
    purge_after: datetime | None = None
    messages: int = 0
    version: int = 1


@dataclass
class Policy:
    """What the model knows of a policy."""

    level: str
    name: str = ""
    idle_after: int | None = None
    archive_after: int | None = None
    delete_after: int | None = None
    trash_for: int | None = None
    pinned_too: bool | None = None
    confirmed: bool = False
    refused: bool = False

    def covers(self, chat: Chat) -> bool:
        """Tell whether a chat is in the scope."""
        names = {"workflow": {chat.workflow}, "tag": chat.tags}
        return self.level in ("site", "account") or self.name in names[self.level]


@dataclass
class Model:
    """The plain picture."""

    chats: dict[UUID, Chat] = field(default_factory=dict)
    policies: list[Policy] = field(default_factory=list)

    def governing(self, chat: Chat, rule: str) -> list[Policy]:
        """Return the policies that decide about ``rule``: the most specific, the longest."""
        for level in reversed(LEVELS):
            said = [
                one
                for one in self.policies
                if one.level == level and one.covers(chat) and getattr(one, rule) is not None
            ]
            if said:
                values = [getattr(one, rule) for one in said]
                wins = 0 if 0 in values else max(values)
                return [one for one in said if getattr(one, rule) == wins]
        return []

    def value(self, chat: Chat, rule: str) -> Any:
        """Return what holds for a chat."""
        return next((getattr(one, rule) for one in self.governing(chat, rule)), None)

    def ripe(self, chat: Chat, verb: str, now: datetime) -> bool:
        """Tell whether the time for ``verb`` has come, and nothing exempts the chat."""
        after = self.value(chat, {"delete": "delete_after"}.get(verb, f"{verb}_after"))
        if not after or chat.last_activity >= now - timedelta(seconds=after):
            return False
        spared = verb != "idle" and chat.pinned and not self.value(chat, "pinned_too")
        return not spared and not (verb == "delete" and chat.hold)

    def takes_everything(self, policy: Policy, now: datetime) -> bool:
        """Tell whether a policy would move every live chat that it decides about."""
        about = [
            chat
            for chat in self.chats.values()
            if chat.state != "deleted" and policy in self.governing(chat, "delete_after")
        ]
        return bool(about) and all(self.ripe(chat, "delete", now) for chat in about)

    def refused(self, now: datetime) -> list[Policy]:
        """Return the policies that wait for a yes."""
        wary = [one for one in self.policies if one.delete_after and not one.confirmed]
        return [one for one in wary if one.refused or self.takes_everything(one, now)]

    def due(self, now: datetime) -> dict[UUID, str]:
        """Return what a run is to do."""
        refused = self.refused(now)
        found = {uuid: self._due(chat, now, refused) for uuid, chat in self.chats.items()}
        return {uuid: verb for uuid, verb in found.items() if verb}

    def _due(self, chat: Chat, now: datetime, refused: list[Policy]) -> str:
        willing = [one for one in self.governing(chat, "delete_after") if one not in refused]
        if chat.state != "deleted" and willing and self.ripe(chat, "delete", now):
            return "delete"
        if chat.state in ("active", "idle") and self.ripe(chat, "archive", now):
            return "archive"
        return "idle" if chat.state == "active" and self.ripe(chat, "idle", now) else ""


def move(model: Model, chat: Chat, verb: str, at: datetime) -> None:
    """Do to the model what a verb does."""
    chat.version += 1
    if verb == "idle":
        chat.state = "idle"
    elif verb == "archive":
        chat.state, chat.archived_at = "archived", at
    elif verb == "delete":
        keep = model.value(chat, "trash_for")
        chat.state, chat.deleted_at = "deleted", at
        chat.purge_after = at + timedelta(seconds=keep) if keep else None
    elif verb == "restore":
        chat.state = "archived" if chat.archived_at else "active"
        chat.deleted_at = chat.purge_after = None
        chat.last_activity = at
    else:
        chat.state, chat.archived_at, chat.last_activity = "active", None, at


class Life(RuleBasedStateMachine):
    """Rules are what people, the clock and the site do."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.clock = time_machine.travel(START, tick=False)
        self.time = self.clock.start()
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.alice, self.bob, self.charlie = (
            User.objects.create_user(name) for name in ("alice", "bob", "charlie")
        )
        self.account, self.system = accounts.of(self.alice), accounts.system()
        self.model = Model(policies=[Policy("site", **retention.DEFAULTS, pinned_too=False)])
        self.runs: list[tuple[UUID, dict[UUID, tuple[Chat, int]]]] = []

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.transaction.__exit__(None, None, None)
        self.clock.stop()

    def at(self, account: Account | None = None) -> datetime:
        """Return the time that the next operation on an account has."""
        account = account or self.account
        account.refresh_from_db(fields=["at"])
        return max(account.at, timezone.now())

    def pick(self, number: int) -> tuple[Session, Chat]:
        """Return one of the sessions."""
        uuid = list(self.model.chats)[number % len(self.model.chats)]
        session = Session.objects.select_related("account").get(uuid=uuid)
        return session, self.model.chats[uuid]

    # People

    @initialize(
        tags=strategies.lists(
            strategies.sets(strategies.sampled_from(TAGS)), min_size=3, max_size=3
        ),
        delete_after=strategies.sampled_from(PERIODS[-4:]),
    )
    def begin(self, tags: list[set[str]], delete_after: int) -> None:
        for number, some in enumerate(tags):
            self.make(WORKFLOWS[number % 2], some)
        self.set_policy("site", 0, {"delete_after": delete_after}, False)

    @precondition(lambda self: len(self.model.chats) < 6)
    @rule(
        workflow=strategies.sampled_from(WORKFLOWS),
        tags=strategies.sets(strategies.sampled_from(TAGS)),
    )
    def create(self, workflow: str, tags: set[str]) -> None:
        self.make(workflow, tags)

    def make(self, workflow: str, tags: set[str]) -> None:
        """Make a session that Bob is invited to."""
        at = self.at()
        session = sessions.create(self.alice, workflow)
        chat = Chat(workflow, frozenset(tags), at)
        if tags:
            sessions.tag(session, self.alice, sorted(tags))
            chat.version += 1
        Share.objects.create(
            account=self.account,
            session=session,
            grantee=accounts.of(self.bob),
            verbs=grants.mask(["read", "write", "delete"]),
        )
        self.model.chats[session.uuid] = chat

    @precondition(lambda self: self.model.chats)
    @rule(number=strategies.integers(0, 5), by_bob=strategies.booleans())
    def append(self, number: int, by_bob: bool) -> None:
        session, chat = self.pick(number)
        at = self.at()
        try:
            messages.append(session, self.bob if by_bob else self.alice, "user", "Hello")
        except (Conflict, NotFound) as error:
            refused = isinstance(error, NotFound) == by_bob
        else:
            refused = False
        assert refused == (chat.state == "deleted")
        if refused:
            return
        chat.version += 1
        chat.messages += 1
        chat.state, chat.archived_at, chat.last_activity = "active", None, at

    @precondition(lambda self: self.model.chats)
    @rule(number=strategies.integers(0, 5), on=strategies.booleans())
    def pin(self, number: int, on: bool) -> None:
        session, chat = self.pick(number)
        if self.refuses(chat.state == "deleted", lambda: sessions.pin(session, self.alice, on)):
            return
        chat.version += chat.pinned != on
        chat.pinned = on

    @precondition(lambda self: self.model.chats)
    @rule(number=strategies.integers(0, 5), on=strategies.booleans())
    def hold(self, number: int, on: bool) -> None:
        session, chat = self.pick(number)
        lifecycle.hold(session, None, on, "Case 12")
        chat.version += chat.hold != on
        chat.hold = on

    @precondition(lambda self: self.model.chats)
    @rule(number=strategies.integers(0, 5), by_bob=strategies.booleans())
    def delete(self, number: int, by_bob: bool) -> None:
        session, chat = self.pick(number)
        at = self.at()
        if by_bob and chat.state == "deleted":
            self.stranger(session, self.bob, sessions.delete)
            return
        sessions.delete(session, self.bob if by_bob else self.alice)
        if chat.state != "deleted":
            move(self.model, chat, "delete", at)

    @precondition(lambda self: self.model.chats)
    @rule(number=strategies.integers(0, 5))
    def restore(self, number: int) -> None:
        session, chat = self.pick(number)
        at = self.at()
        refused = chat.state in ("idle", "archived")
        if self.refuses(refused, lambda: sessions.restore(session, self.alice)):
            return
        if chat.state == "deleted":
            move(self.model, chat, "restore", at)

    @precondition(lambda self: self.model.chats)
    @rule(number=strategies.integers(0, 5))
    def archive(self, number: int) -> None:
        session, chat = self.pick(number)
        at = self.at()
        refused = chat.state == "deleted"
        if self.refuses(refused, lambda: lifecycle.archive(session, self.alice)):
            return
        if chat.state != "archived":
            move(self.model, chat, "archive", at)

    @precondition(lambda self: self.model.chats)
    @rule(number=strategies.integers(0, 5), by_bob=strategies.booleans())
    def resume(self, number: int, by_bob: bool) -> None:
        session, chat = self.pick(number)
        at = self.at()
        if by_bob and chat.state == "deleted":
            self.stranger(session, self.bob, lifecycle.resume)
            return
        who = self.bob if by_bob else self.alice
        if self.refuses(chat.state == "deleted", lambda: lifecycle.resume(session, who)):
            return
        if chat.state != "active":
            move(self.model, chat, "wake", at)

    @precondition(lambda self: self.model.chats)
    @rule(
        number=strategies.integers(0, 5),
        verb=strategies.sampled_from(
            [sessions.delete, sessions.restore, sessions.pin, lifecycle.archive, lifecycle.resume]
        ),
    )
    def meddle(self, number: int, verb: Any) -> None:
        session, _chat = self.pick(number)
        self.stranger(session, self.charlie, verb)

    def refuses(self, wanted: bool, verb: Any) -> bool:
        """Call a verb, which is to be refused with a Conflict exactly where ``wanted``."""
        try:
            verb()
        except Conflict:
            assert wanted
            return True
        assert not wanted
        return False

    def stranger(self, session: Session, user: User, verb: Any) -> None:
        """Call a verb for somebody who may not even know of the session."""
        before = Change.objects.count()
        try:
            verb(session, user)
        except NotFound:
            assert Change.objects.count() == before
            return
        raise AssertionError("A stranger was let in.")

    # Time and the site

    @rule(time=strategies.sampled_from(TIMES))
    def wait(self, time: timedelta) -> None:
        self.time.shift(time)

    @rule()
    def set_clock_back(self) -> None:
        self.time.shift(-HOUR)

    @rule(
        level=strategies.sampled_from(LEVELS),
        number=strategies.integers(0, 1),
        said=strategies.dictionaries(
            strategies.sampled_from(retention.TIMES), strategies.sampled_from(PERIODS), max_size=2
        )
        | strategies.fixed_dictionaries(
            {"pinned_too": strategies.sampled_from([None, False, True])}
        ),
        yes=strategies.booleans(),
    )
    def change_policy(self, level: str, number: int, said: dict[str, Any], yes: bool) -> None:
        self.set_policy(level, number, said, yes)

    def set_policy(self, level: str, number: int, said: dict[str, Any], yes: bool) -> None:
        """Set a policy, which is refused where it would throw everything away."""
        scope, policy = self.scope(level, number)
        if scope is None:
            return
        now = self.at(None if level in ("account", "tag") else self.system)
        new = replace(policy, **said)
        same = (new.delete_after, new.pinned_too) == (policy.delete_after, policy.pinned_too)
        new.confirmed = yes or (policy.confirmed and same)
        new.refused = policy.refused and same and not yes
        kept = self.model.policies
        self.model.policies = [*(one for one in kept if one is not policy), new]
        wary = bool(new.delete_after) and not new.confirmed
        refused = not same and wary and self.model.takes_everything(new, now)
        if self.refuses(refused, lambda: retention.set_policy(None, yes=yes, **scope, **said)):
            self.model.policies = kept

    def scope(self, level: str, number: int) -> tuple[dict[str, Any] | None, Policy]:
        """Return a scope as the verb takes it, and the policy that the model has there."""
        name = {"workflow": WORKFLOWS, "tag": TAGS}.get(level, ("", ""))[number]
        scope: dict[str, Any] | None = {"workflow": {"workflow": name}}.get(level, {})
        if level == "account":
            scope = {"account": self.account}
        if level == "tag":
            digest = records.tag_digest(self.account, name)
            tag = Tag.objects.select_related("account").filter(digest=digest).first()
            scope = {"tag": tag} if tag else None
        there = [one for one in self.model.policies if (one.level, one.name) == (level, name)]
        return scope, there[0] if there else Policy(level, name)

    @rule()
    def sweep(self) -> None:
        now, at = timezone.now(), self.at()
        due, waiting = self.model.due(now), self.model.refused(now)
        kept = {uuid: replace(self.model.chats[uuid]) for uuid in due}
        job = lifecycle.run()
        result = records.open_job(job, "result")["result"]
        assert {verb: result[verb] for verb in lifecycle.ORDER} == {
            verb: list(due.values()).count(verb) for verb in lifecycle.ORDER
        }
        assert (result["damaged"], len(result["refused"])) == (0, len(waiting))
        for policy in waiting:
            policy.refused = True
        for uuid, verb in due.items():
            move(self.model, self.model.chats[uuid], verb, at)
        done = {uuid: (kept[uuid], self.model.chats[uuid].version) for uuid in due}
        self.runs.append((job.uuid, done))

    @precondition(lambda self: self.runs)
    @rule(number=strategies.integers(0, 3))
    def undo(self, number: int) -> None:
        run, done = self.runs[-1 - number % len(self.runs)]
        lifecycle.undo(None, run, yes=True)
        for uuid, (old, version) in done.items():
            chat = self.model.chats[uuid]
            if chat.version == version:
                columns = ("state", "archived_at", "deleted_at", "purge_after")
                vars(chat).update({name: getattr(old, name) for name in columns})
                chat.version += 1

    # What is always so

    @invariant()
    def every_row_is_as_the_model_says(self) -> None:
        Life.steps += 1
        rows = {row.uuid: row for row in Session.objects.all()}
        assert rows.keys() == self.model.chats.keys()
        for uuid, chat in self.model.chats.items():
            row = rows[uuid]
            shown = {name: getattr(row, name) for name in vars(chat) if hasattr(row, name)}
            wanted = {name: getattr(chat, name) for name in shown}
            shown.pop("tags"), wanted.pop("tags"), shown.pop("messages"), wanted.pop("messages")
            assert shown == wanted
            assert row.message_count == chat.messages

    @invariant()
    def a_look_ahead_lists_what_is_due(self) -> None:
        found = {session.uuid: verb for verb, session in lifecycle.preview()}
        assert found == self.model.due(timezone.now())

    @invariant()
    def the_trash_is_what_has_a_time_of_deletion(self) -> None:
        for row in Session.objects.all():
            assert (row.state == "deleted") == (row.deleted_at is not None)
            assert row.state == "deleted" or row.purge_after is None
            assert row.state in ("archived", "deleted") or row.archived_at is None

    @invariant()
    def the_journal_is_dense_and_rows_carry_their_newest_change(self) -> None:
        changes = Change.objects.filter(account=self.account).order_by("seq")
        seqs = list(changes.values_list("seq", flat=True))
        assert seqs == list(range(1, len(seqs) + 1))
        mine = changes.filter(table="session").values_list("row", "seq")
        newest, counted = dict(mine), Counter(row for row, _seq in mine)
        for uuid, changed, version in Session.objects.values_list("uuid", "changed", "version"):
            assert (newest[uuid], counted[uuid]) == (changed, version)


def live(examples: int, *, shrink: bool = True, **more: Any) -> None:
    """Live so many lives, of at most ``STEPS`` steps each; ``shrink`` what goes wrong."""
    how = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        suppress_health_check=list(HealthCheck),
        **more,
    )
    run_state_machine_as_test(Life, settings=how)  # type: ignore[no-untyped-call]
