"""Gunicorn's settings: `gunicorn -c python:project.gunicorn project.wsgi`."""

import os
from typing import Any

bind = f"127.0.0.1:{os.environ.get('PORT', '8000')}"
worker_class = "gthread"
workers = 2
threads = 8
# An answer may stream for long; a worker that hangs altogether is replaced.
timeout = 60
graceful_timeout = 3
control_socket_disable = True
logger_class = "project.logs.ServerLogger"


def post_worker_init(worker: Any) -> None:
    """Let streams end when the worker is to; look over the data once for each start of the site.

    That is in the first worker: those that follow, also in place of one that died, are older.
    """
    from chathistory.api import streams

    streams.is_serving = lambda: worker.alive
    if worker.age == 1:
        from django.db import connections  # the worker has set Django up

        from chathistory import startup

        startup.check()
        connections.close_all()
