"""Logs name what failed and where, never what was said."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType
from typing import Any

from gunicorn import glogging

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class ContentFreeFormatter(logging.Formatter):
    """Leaves out exceptions' messages: they may quote a chat or a query."""

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802 - logging's own name
        error, seen, parts = ei[1], set[int](), list[str]()
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            frames = "".join(traceback.format_tb(error.__traceback__))
            kind = f"{type(error).__module__}.{type(error).__qualname__}"
            parts.append(f"{frames}{kind} (message withheld)")
            error = error.__cause__ or error.__context__
        return "\n\nled to\n\n".join(reversed(parts))


class WithholdArguments(logging.Filter):
    """Strips from Celery's records what a task was given, returned and raised."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, dict):
            hidden = dict.fromkeys(("args", "kwargs", "exc", "return_value", "traceback"), "-")
            record.args = {**record.args, **hidden}
        return True


class ServerLogger(glogging.Logger):  # type: ignore[misc]  # gunicorn has no types
    """Gunicorn's log, without the addresses of failed requests: they carry queries."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(ContentFreeFormatter(self.error_fmt, self.datefmt))

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.error("Error handling a request", exc_info=True)
