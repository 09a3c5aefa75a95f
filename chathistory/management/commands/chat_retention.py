"""``chat_retention``: how long what is kept, and what the next run does about it."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db.models import F
from django.utils import timezone

from chathistory import records
from chathistory.actions import accounts, lifecycle, retention
from chathistory.exceptions import ChatHistoryError, Invalid
from chathistory.models import Account, RetentionPolicy, Session, Tag

from ._progress import Bar
from ._users import user_named

_TOLD = {"delete": "moved to the trash", "archive": "archived", "idle": "made idle"}
#: What each option is about; with anything else it would be passed over in silence.
_ONLY_WITH = {
    "workflow": ("set",),
    "account": ("set",),
    "tag": ("set",),
    "yes": ("set", "undo"),
    "reason": ("hold", "release"),
}
_WORDS = {"yes": True, "no": False, "default": None}


class Command(BaseCommand):
    """Show and set retention policies, look ahead, run, and undo a run."""

    help = (
        "Show how long what is kept. Periods are written 90m, 1h, 30d, never, or default (as the "
        "wider policy says). Examples: chat_retention --dry-run; "
        "chat_retention --set delete_after=365d --workflow tutor"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to do, and about whom."""
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--dry-run", action="store_true", help="list what the next run would do")
        what.add_argument("--run", action="store_true", help="do it now")
        what.add_argument("--undo", type=UUID, metavar="RUN", help="take back what a run did")
        rules = ", ".join(retention.FIELDS)
        what.add_argument(
            "--set", nargs="+", metavar="RULE=VALUE", help=f"change a policy; rules: {rules}"
        )
        what.add_argument(
            "--hold", type=UUID, metavar="SESSION", help="neither delete nor purge this session"
        )
        what.add_argument("--release", type=UUID, metavar="SESSION", help="end a hold")
        parser.add_argument("--reason", default="", help="why there is a hold, or no longer")
        parser.add_argument("--workflow", default="", help="the policy of a workflow")
        parser.add_argument("--account", metavar="USER", help="the policy of a person")
        parser.add_argument("--tag", help="the policy of a tag of that person")
        parser.add_argument(
            "--yes", action="store_true", help="even if it moves everything to the trash"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do what is asked for; without anything, show the policies."""
        asked = ("dry_run", "run", "undo", "set", "hold", "release")
        what = next((name for name in asked if options[name]), "show")
        _refuse_idle_options(what, options)
        try:
            getattr(self, f"_{what}")(options)
        except ChatHistoryError as error:
            raise CommandError(str(error)) from None

    def _show(self, _options: dict[str, Any]) -> None:
        rows = RetentionPolicy.objects.select_related("account__user", "tag")
        head = ("", *(field.replace("_", " ") for field in retention.FIELDS), "said yes")
        widest_first = [F(name).asc(nulls_first=True) for name in ("account", "tag")]
        for cells in [head, *map(_cells, rows.order_by("workflow", *widest_first))]:
            line = f"{cells[0]:<40}" + "".join(f"{cell:<15}" for cell in cells[1:])
            self.stdout.write(line.rstrip())

    def _dry_run(self, _options: dict[str, Any]) -> None:
        counts: Counter[str] = Counter()
        for verb, session in lifecycle.preview():
            counts[verb] += 1
            since = session.last_activity.isoformat(timespec="seconds")
            owner = session.account.user or session.account.uuid
            self.stdout.write(f"{verb:<8} {session.uuid}  {owner}  {since}")
        self.stdout.write(f"The next run would have {_counted(counts)}.")
        self._refusals(retention.refusals(timezone.now()))

    def _run(self, _options: dict[str, Any]) -> None:
        with Bar() as bar:
            job = lifecycle.run(bar)
        result = records.open_job(job, "result")["result"]
        self.stdout.write(f"Run {job.uuid} has {_counted(result)}.")
        self._damaged(result)
        self._refusals(RetentionPolicy.objects.filter(uuid__in=result["refused"]))

    def _undo(self, options: dict[str, Any]) -> None:
        result = lifecycle.undo(None, options["undo"], yes=options["yes"])
        self.stdout.write(f"Taken back: {_counted(result)}.")
        self._damaged(result)

    def _set(self, options: dict[str, Any]) -> None:
        said = dict(_rule(given) for given in options["set"])
        policy = retention.set_policy(None, yes=options["yes"], **_scope(options), **said)
        rules = zip(retention.FIELDS, _cells(policy)[1:], strict=False)
        told = ", ".join(f"{name}={value}" for name, value in rules)
        self.stdout.write(f"{_cells(policy)[0]}: {told}")

    def _hold(self, options: dict[str, Any]) -> None:
        session = Session.objects.reach(None, options["hold"])
        lifecycle.hold(session, None, True, options["reason"])
        self.stdout.write(f"{session.uuid} is on hold.")

    def _release(self, options: dict[str, Any]) -> None:
        session = Session.objects.reach(None, options["release"])
        lifecycle.hold(session, None, False, options["reason"])
        self.stdout.write(f"{session.uuid} is on hold no longer.")

    def _damaged(self, result: dict[str, Any]) -> None:
        if result["damaged"]:
            self.stderr.write(f"{result['damaged']:,} do not open, and were left as they are.")

    def _refusals(self, policies: Any) -> None:
        for policy in policies:
            self.stderr.write(
                f"{_cells(policy)[0]}: nothing goes to the trash, as that would be everything it "
                "is about. To want that, set it again with --yes."
            )


def _refuse_idle_options(what: str, options: dict[str, Any]) -> None:
    for name, ones in _ONLY_WITH.items():
        if options[name] and what not in ones:
            known = " or ".join(f"--{one}" for one in ones)
            raise CommandError(f"--{name} goes only with {known}.")


def _cells(policy: RetentionPolicy) -> list[str]:
    """Return a policy's scope, and what it says of each rule."""
    said = {field: getattr(policy, field) for field in retention.FIELDS}
    scope = policy.workflow
    if not scope and policy.account is None:
        scope, said = "site", {field: value or 0 for field, value in said.items()}
    if policy.account is not None:
        scope = str(policy.account.user or policy.account.uuid)
        scope += f", tag {_tag_name(policy.tag, policy.account)}" if policy.tag else ""
    words = {value: word for word, value in _WORDS.items()}
    times = [retention.period(said[field]) for field in retention.TIMES]
    return [scope, *times, words[said["pinned_too"]], words[policy.confirmed]]


def _tag_name(tag: Tag, account: Account) -> str:
    return records.or_damaged(records.tag_name, tag, account) or str(tag.uuid)


def _counted(counts: Any) -> str:
    return ", ".join(f"{counts[verb]:,} {told}" for verb, told in _TOLD.items())


def _rule(given: str) -> tuple[str, Any]:
    name, _, value = given.partition("=")
    if name == "pinned_too":
        if value not in _WORDS:
            raise Invalid(f"pinned_too is one of: {', '.join(_WORDS)}.", field=name)
        return name, _WORDS[value]
    try:
        return name, retention.seconds(value, name)
    except Invalid as error:
        raise Invalid(f"{given}: {error}", field=name) from None


def _scope(options: dict[str, Any]) -> dict[str, Any]:
    """Return the scope that is asked for, as ``set_policy`` takes it."""
    name = options["account"]
    account = None if name is None else accounts.of(user_named(name))
    if options["tag"] is None:
        return {"workflow": options["workflow"], "account": account}
    if account is None:
        raise CommandError("Whose tag? Give --account.")
    digest = records.tag_digest(account, options["tag"])
    tag = Tag.objects.select_related("account").filter(account=account, digest=digest).first()
    if tag is None:
        raise CommandError(f"{options['account']} has no tag {options['tag']!r}.")
    return {"workflow": options["workflow"], "tag": tag}
