"""Reader of Claude Code's session logs: `<session>.jsonl`, one line a message.

A line is `{type: user | assistant | system, uuid, parentUuid, sessionId, timestamp, message{role,
content, model, usage}, isSidechain, isMeta, cwd, gitBranch, version}`; others tell a title
(`summary`, `custom-title`, `ai-title`) or of the program's own doings, which are only counted. One
file is one session, also where a resumed one repeats another's id. Anthropic does not document it;
from readers of real logs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from chathistory.formats import loose, parts, sessionlog
from chathistory.formats.base import Malformed, Problem, Transcript, Turn
from chathistory.formats.jsonstream import Item
from chathistory.formats.times import from_epoch

_TITLES = {"custom-title": "customTitle", "ai-title": "aiTitle", "summary": "summary"}
_KNOWN = frozenset(
    {*_TITLES, "user", "assistant", "system", "file-history-snapshot", "queue-operation"}
)
_ABOUT = ("cwd", "gitBranch", "version", "slug", "entrypoint")


def recognises(value: Any, header: dict[str, Any]) -> bool:
    """Tell whether `value` is a line of a log."""
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str):
        return False
    if kind in _KNOWN and value.keys() & {"sessionId", "leafUuid", "snapshot"}:
        return True
    return "sessionId" in value and "uuid" in value and "parentUuid" in value


def gather(items: Iterable[Item | Problem]) -> Iterator[Transcript | Problem]:
    """Yield each session of a log, and a Problem for each that is not whole."""
    return sessionlog.chats(items, _Chat)


class _Chat:
    """One session. A line that stands under none before it and is of another session ends it."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._session: str | None = None
        self._agent: str | None = None
        self._turns: list[Turn] = []
        self._answers: dict[str, Turn] = {}  # by the message's id: each one's first line
        self._raw: dict[str, dict[str, Any]] = {}
        self._above: dict[str, str | None] = {}  # of lines that are no messages
        self._titles: dict[str, str] = {}
        self._summaries: dict[str, str] = {}  # by the line they sum up to; others' stand here too
        self._about: dict[str, str] = {}
        self._others: Counter[str] = Counter()

    def follows(self, line: dict[str, Any]) -> bool:
        session = loose.text(line.get("sessionId"))
        if session is None or self._session is None or session == self._session:
            return True
        parent = line.get("parentUuid")
        return isinstance(parent, str) and (parent in self._raw or parent in self._above)

    def add(self, index: int, line: dict[str, Any], path: str) -> None:
        kind = line.get("type")
        if not isinstance(kind, str):
            raise Malformed(f"{path}.type", "is missing or not text")
        self._session = self._session or loose.text(line.get("sessionId"))
        for name in _ABOUT:
            if said := loose.text(line.get(name)):
                self._about[name] = said
        if title := loose.text(line.get(_TITLES.get(kind, ""))):
            self._titles[kind] = title
            if kind == "summary":
                self._summaries[str(line.get("leafUuid"))] = title
        elif isinstance(line.get("message"), dict) or isinstance(line.get("content"), str):
            self._take(index, kind, line, path)
        else:
            self._pass(kind, line)

    def _pass(self, kind: str, line: dict[str, Any]) -> None:
        self._others[kind] += 1
        if uuid := loose.text(line.get("uuid")):
            self._above[uuid] = _parent(line)

    def _take(self, index: int, kind: str, line: dict[str, Any], path: str) -> None:
        identity = loose.text(line.get("uuid")) or f"line-{index}"
        if self._raw.get(identity) == line:
            self._others["repeated"] += 1
            return
        self._raw[identity] = line
        if line.get("isSidechain") is True and (agent := loose.text(line.get("agentId"))):
            self._agent = self._agent or agent
        turn = _turn(identity, kind, line, path)
        self._count(turn, loose.mapping(line.get("message")).get("id"))
        self._turns.append(turn)

    def _count(self, turn: Turn, answer: Any) -> None:
        """Leave an answer's tokens on its first line only, as its last one tells them.

        Each line repeats them; the first is the one that a longer log begins with too.
        """
        first = self._answers.setdefault(answer, turn) if loose.text(answer) else turn
        if first is not turn and turn.tokens is not None:
            first.tokens, turn.tokens = turn.tokens, None

    def transcript(self) -> Transcript | None:
        if not self._turns:
            return None
        for turn in self._turns:
            turn.parent = self._known(turn.parent)
        title = self._title()
        session = self._session or loose.digest([turn.raw for turn in self._turns[:1]])
        alone = self._agent and all(turn.metadata.get("sidechain") for turn in self._turns)
        model = next((t.metadata["model"] for t in self._turns if "model" in t.metadata), None)
        about = {**self._about, "titles": self._titles, "other_lines": dict(self._others)}
        times = [turn.created for turn in self._turns if turn.created]
        return Transcript(
            origin="claude-code",
            id=f"{session}/{self._agent}" if alone else session,
            title=title,
            created=min(times, default=None),
            updated=max(times, default=None),
            turns=loose.arranged(self._turns),
            head=self._turns[-1].id,
            metadata=loose.chat_about("claude_code", about, model),
            title_source="user" if title else "auto",
            where=self._where,
        )

    def _title(self) -> str | None:
        """What somebody called it; or else the newest summary of a line of its own."""
        own = [text for leaf, text in self._summaries.items() if leaf in self._raw]
        given = [self._titles.get("custom-title"), self._titles.get("ai-title"), *reversed(own)]
        return next(filter(None, given), None)

    def _known(self, parent: str | None) -> str | None:
        """The nearest line above that is a message."""
        passed: set[str] = set()
        while parent in self._above and parent not in self._raw and parent not in passed:
            passed.add(parent)
            parent = self._above[parent]
        found = None if parent in passed else parent
        self._above.update(dict.fromkeys(passed, found))  # the next is there at once
        return found


def _parent(line: dict[str, Any]) -> str | None:
    return loose.text(line.get("parentUuid")) or loose.text(line.get("logicalParentUuid"))


def _turn(identity: str, kind: str, line: dict[str, Any], path: str) -> Turn:
    message = loose.mapping(line.get("message"))
    content = message.get("content", line.get("content"))
    said = parts.read(content, f"{path}.message.content")
    who = loose.role(message.get("role") or kind, "system")
    answers = [block["type"] == "tool_result" for block in said.blocks]
    if who == "user" and not said.text and answers and all(answers):
        who = "tool"
    turn = loose.turn(
        identity,
        _parent(line),
        who,
        said,
        line,
        model=loose.text(message.get("model")),
        hidden=line.get("isMeta") is True,
        sidechain=line.get("isSidechain") is True,
        kind=kind if kind not in ("user", "assistant") else None,
    )
    turn.created = from_epoch(line.get("timestamp"))
    turn.tokens = loose.count(loose.mapping(message.get("usage")).get("output_tokens"))
    return turn
