"""Gunicorn's settings: `gunicorn -c python:project.gunicorn project.wsgi`."""

import os

bind = f"127.0.0.1:{os.environ.get('PORT', '8000')}"
worker_class = "gthread"
workers = 2
threads = 8
# An answer may stream for long; a worker that hangs altogether is replaced.
timeout = 60
graceful_timeout = 3
control_socket_disable = True
logger_class = "project.logs.ServerLogger"
