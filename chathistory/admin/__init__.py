"""The Django admin: every row to look at; what may be done is a verb."""

from . import backups, chats, work

__all__ = ["backups", "chats", "work"]
