"""The site's own responder: no model, no network; it answers from the person's earlier chats."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.urls import reverse

from chathistory import records, text, workflows
from chathistory.models import Message, Session
from chathistory.querysets import SessionQuerySet
from chathistory.search import find
from chathistory.search.tokens import IS_CJK, fold, words
from chathistory.workflows import Conversation

_ASKED, _QUOTED, _LOOKED_AT = 8, 3, 12  # words of a question, chats of an answer, hits of a word
_PASSAGE, _CODE_LINES = 320, 16
_PAUSE = 0.004  # seconds between words, so that one can read along
_ASKING = ("?", "؟", "？")
_PIECE = re.compile(r"\S+\s*|\s+")
_FENCE = re.compile(r"(?ms)^(```|~~~).*?(?:^\1[^\n]*$|\Z)")
_LEAD = re.compile(r"^(?:#{1,6}|[-*+>]|\d+[.)])\s+")

_STOP = frozenset(
    "a about "  # noqa: SIM905  (a hundred quoted words would be no clearer)
    "after all also am an and any are as at be been but by can could did do does for from "
    "get give had has have hello help hey hi how i if in into is it its just know let like make "
    "may me more much my need no not now of on one or our out please say she should show so some "
    "tell than thank thanks that the their them then there these they thing this those to up us "
    "use want was we were what when where which who why will with would write you your "
    "在 的 了 是 我 有 和 吗 什么 怎么 من في على ما هو هي كيف هل של את על מה איך הוא היא".split()
)

#: How an answer begins, by workflow.
_OPENINGS = {
    "code_generator": "This is code you have worked on before that fits:",
    "sql_assistant": "These are queries and notes of yours that fit:",
    "data_analyst": "These are numbers and findings you have looked at before:",
    "translator": "You have come across this before:",
    "summarizer": "In short, this is what your chats say about it:",
    "tutor": "You have learned about this before. Do you remember?",
    "writing_coach": "You have written about this before:",
    "brainstorm": "These earlier thoughts of yours may start new ones:",
    "customer_support": "You have worked on something like this before:",
}
_CODE_FIRST = ("code_generator", "sql_assistant")


@dataclass(slots=True)
class _Passage:
    session: Session
    message: Message
    quoted: str


def answer_from_history(conversation: Conversation) -> Iterator[str]:
    """Answer with the passages of the person's other chats that fit the question best."""
    asked = _content_words(conversation.turns[-1].content)
    answer = _compose(conversation, asked, _passages(conversation, asked))
    for piece in _PIECE.findall(answer):
        yield piece
        time.sleep(_PAUSE)


def _content_words(question: str) -> list[str]:
    """Return the words worth looking for, the longest of them if there are many."""
    found = dict.fromkeys(piece for word in words(question) for piece in _pieces(fold(word)))
    kept = [w for w in found if w not in _STOP and (len(w) > 2 or IS_CJK.search(w))]
    chosen = sorted(kept, key=len, reverse=True)[:_ASKED]
    return [word for word in kept if word in chosen]


def _pieces(word: str) -> list[str]:
    """Cut a run without spaces, as in Chinese, into the pairs that stand for words there."""
    if not IS_CJK.search(word) or len(word) < 3:
        return [word]
    return [word[at : at + 2] for at in range(len(word) - 1)]


def _passages(conversation: Conversation, asked: list[str]) -> list[_Passage]:
    """Return one passage from each of the chats that fit best."""
    chats = list(_hits(conversation, asked).values())
    chats.sort(key=lambda scores: (-_fit(scores), -max(message.place for message in scores)))
    return [_passage(conversation, asked, _best(scores)) for scores in chats[:_QUOTED]]


def _passage(conversation: Conversation, asked: list[str], message: Message) -> _Passage:
    content = records.open_body(message, message.session).content
    quoted = _quote(content, asked, code_first=conversation.workflow in _CODE_FIRST)
    return _Passage(message.session, message, quoted)


def _hits(conversation: Conversation, asked: list[str]) -> dict[int, dict[Message, float]]:
    """Search each word by itself and add up, by chat and message, how well it fits."""

    def elsewhere(rows: SessionQuerySet) -> SessionQuerySet:
        own = rows.filter(account__user=conversation.user)
        return own.exclude(uuid=UUID(conversation.session_id))

    found: dict[int, dict[Message, float]] = {}
    for word in asked:
        answer = find.search(
            conversation.user, f'"{word}"', sort="relevance", limit=_LOOKED_AT, narrow=elsewhere
        )
        for hit in answer.hits:
            if not _says_nothing(hit.message, asked):
                scores = found.setdefault(hit.session.pk, {})
                scores[hit.message] = scores.get(hit.message, 0) + 1 + max(hit.score, 0) / 100
    return found


def _says_nothing(message: Message, asked: list[str]) -> bool:
    """Tell whether a message only asks, or is itself such an answer: an echo."""
    body = records.or_damaged(records.open_body, message, message.session)
    if body is None or message.status == Message.Status.FAILED:
        return True
    if f"]({reverse('chathistory:history')}" in body.content:
        return True
    said = body.content.strip()
    if message.role != "user":
        return False
    repeats = {fold(word) for word in words(said)} <= _STOP.union(asked)
    return repeats or (said.endswith(_ASKING) and "\n" not in said)


def _fit(scores: dict[Message, float]) -> float:
    return max(scores.values())


def _best(scores: dict[Message, float]) -> Message:
    """Return the answer that fits best; where no answer does, the question."""
    answers = {m: score for m, score in scores.items() if m.role == "assistant"} or scores
    return max(answers, key=lambda message: (answers[message], message.place))


def _quote(content: str, asked: list[str], *, code_first: bool) -> str:
    """Return the block of a message that holds most of the words, as a quotation."""
    blocks = _blocks(content)
    wanted = set(asked)

    def fit(block: str) -> tuple[bool, int]:
        held = len(wanted & {fold(word) for word in words(block)})
        return code_first and block.startswith(("```", "~~~")), held

    best = max(blocks, key=fit)
    shown = _code(best) if best.startswith(("```", "~~~")) else _prose(best)
    return "\n".join(f"> {line}".rstrip() for line in shown.splitlines())


def _blocks(content: str) -> list[str]:
    """Cut a text into its fenced blocks and the paragraphs between them."""
    blocks, at = [], 0
    for fence in [*_FENCE.finditer(content), None]:
        between = content[at : fence.start() if fence else len(content)]
        blocks += [part.strip() for part in re.split(r"\n\s*\n", between) if part.strip()]
        if fence:
            blocks.append(fence[0])
            at = fence.end()
    return blocks or [content.strip()]


def _prose(block: str) -> str:
    return text.shorten(_LEAD.sub("", block), _PASSAGE)


def _code(block: str) -> str:
    lines = block.splitlines()
    if len(lines) <= _CODE_LINES + 2:
        return block if lines[-1].startswith(lines[0][:3]) else f"{block}\n{lines[0][:3]}"
    return "\n".join([*lines[: _CODE_LINES + 1], "…", lines[0][:3]])


def _compose(conversation: Conversation, asked: list[str], passages: list[_Passage]) -> str:
    if not passages:
        return _nothing(conversation, asked)
    opening = _OPENINGS.get(conversation.workflow, "This is what your earlier chats say about it:")
    parts = [opening]
    for passage in passages:
        day = passage.message.created_at.strftime("%-d %B %Y")
        parts.append(f"{_link(passage)}, {day}:\n\n{passage.quoted}")
    parts.append("Ask about a detail, or open one of these chats to go on there.")
    return "\n\n".join(parts)


def _link(passage: _Passage) -> str:
    title = records.or_damaged(records.title_of, passage.session) or "A chat"
    escaped = re.sub(r"([\\\[\]`*_<>])", r"\\\1", title)
    page = reverse("chathistory:session", args=[passage.session.uuid])
    message = passage.message.uuid
    return f"[{escaped}]({page}?message={message}#m-{message})"


def _nothing(conversation: Conversation, asked: list[str]) -> str:
    label = workflows.get(conversation.workflow).label
    sought = ", ".join(f"“{word}”" for word in asked)
    found = f"I found nothing about {sought} in your other chats." if asked else "Hello!"
    return (
        f"{found}\n\nThis is **{label}**, answering without a language model: I look through "
        "your own chat history and quote what fits, with links to where it was said.\n\n"
        "- Ask with the words you used back then, such as a name or a function.\n"
        "- What you say here is kept too, so the next question may find it."
    )
