"""Backups: what is copied, how it is sealed and proved, and how a moment is built again.

Read it in this order: ``container`` (a sealed file), ``images`` (a row as JSON), ``capture`` and
``segments`` (which rows), ``keysets`` (the keys, apart), ``sealing``, ``store`` and ``contents``
(written, kept, read again), ``expiry``; then the way back: ``plans``, ``rebuild`` with ``undo`` and
``replay`` in a ``scratch``, and ``swap``. The verbs are in ``actions/backup`` and
``actions/restore``.
"""
