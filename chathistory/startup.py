"""What is done before anybody is served."""

from __future__ import annotations

import logging

from django.core.checks import ERROR, Tags, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, router

from chathistory import health
from chathistory.actions import checking, indexing
from chathistory.exceptions import ChatHistoryError
from chathistory.models import Message

_log = logging.getLogger(__name__)


def verify() -> None:
    """Refuse to start on a site that is set up wrong: demo mode in the open, a wrong master key.

    Raises ImproperlyConfigured naming every error. Nothing has been written by then.
    """
    found = run_checks(tags=[Tags.security, Tags.models])
    found += run_checks(tags=[Tags.database], databases=[router.db_for_write(Message)])
    errors = [one for one in found if one.level >= ERROR and str(one.id).startswith("chathistory.")]
    if errors:
        raise ImproperlyConfigured("\n".join(f"{one.id}: {one.msg} {one.hint}" for one in errors))


def check() -> health.Report:
    """Look over what is stored, log what was found, and queue the full check as a job.

    Once for each start of a site, in any one of its processes, after ``verify``. It takes
    milliseconds, whatever the size of the data, and stops nobody: what is damaged says so, and
    the rest is served. Raises nothing.
    """
    try:
        return _check()
    except Exception as error:  # noqa: BLE001  (whatever is damaged, the rest is served)
        _log.warning("The start-up check ended with %s.", type(error).__name__)
        return health.Report(ready=False, errors=[f"check: {type(error).__name__}"])


def _check() -> health.Report:
    report = health.quick()
    _log.info(
        "Start-up check: total_sessions=%d recovered_sessions=%d corrupted_sessions=%d errors=%d"
        " in %.3f s",
        report.total_sessions,
        report.recovered_sessions,
        report.corrupted_sessions,
        len(report.errors),
        report.seconds,
    )
    for finding in report.findings:
        if finding.detail:
            level = logging.INFO if finding.ok else logging.WARNING
            _log.log(level, "Start-up check, %s: %s", finding.name, finding.detail)
    if report.ready:
        _queue()
    return report


def _queue() -> None:
    for name, queue in (("full check", checking.queue), ("re-index", indexing.queue)):
        try:
            queue()
        except (ChatHistoryError, DatabaseError) as error:
            _log.warning("The %s could not be queued (%s).", name, type(error).__name__)
