"""Server-sent events: who may stream, how events look, and when to end."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from threading import BoundedSemaphore
from typing import Any

from django.http import StreamingHttpResponse
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer

from chathistory.conf import settings
from chathistory.exceptions import Unavailable

Places = tuple[BoundedSemaphore, ...]

_places = BoundedSemaphore(settings.MAX_STREAMS)
#: The places of answers.
ANSWERS: Places = (_places,)
#: Those who only watch take no more than half of all.
WATCHERS: Places = (BoundedSemaphore(max(1, settings.MAX_STREAMS // 2)), _places)


def _always() -> bool:
    return True


#: Tells whether the server goes on; its configuration puts its own answer here.
is_serving: Callable[[], bool] = _always


class EventStream(BaseRenderer):
    """Server-sent events: the view streams them itself; problems go out as JSON."""

    media_type = "text/event-stream"
    format = "event-stream"

    def render(self, data: Any, *_args: Any, **_kwargs: Any) -> bytes:
        """Return JSON."""
        return json.dumps(data, default=str).encode()


class AnyAnswer(DefaultContentNegotiation):
    """Whatever the client accepts, it gets a stream or a problem."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        """Return the first renderer where none fits."""
        return renderers[0], renderers[0].media_type


def event(name: str, data: dict[str, Any]) -> bytes:
    """Return one event."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def answer(places: Places, begin: Callable[[], Generator[bytes]]) -> StreamingHttpResponse:
    """Stream what ``begin`` returns, in a place of each kind. Raises Unavailable without one."""
    held = _acquire(places)
    try:
        events = begin()
    except BaseException:
        _release(held)
        raise
    stream = StreamingHttpResponse(_Stream(events, held), content_type="text/event-stream")
    stream["X-Accel-Buffering"] = "no"
    return stream


class _Stream:
    """Events on their way; gives its places back when the server closes it."""

    def __init__(self, events: Generator[bytes], held: Places) -> None:
        self._events, self._held = events, held

    def __iter__(self) -> Generator[bytes]:
        return self._events

    def close(self) -> None:
        """End the events, whether they were read to the end or not."""
        held, self._held = self._held, ()
        try:
            self._events.close()
        finally:
            _release(held)


def _acquire(places: Places) -> Places:
    for count, one in enumerate(places):
        if not one.acquire(blocking=False):
            _release(places[:count])
            raise Unavailable("Too many answers are streaming just now.")
    return places


def _release(places: Places) -> None:
    for one in places:
        one.release()
