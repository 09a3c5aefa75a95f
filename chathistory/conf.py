"""Our settings: each ``CHATHISTORY_<NAME>`` with its type and default, read live."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from django.conf import settings as host


class Settings:
    """Typed view of the host's settings; a missing one falls back to the default here."""

    #: Folder of everything we write: keys, database of the standalone site, backups, tmp.
    HOME: Path = Path("var")
    #: ``[(id, 32 bytes), ...]``, newest first. Empty: a 0600 key file under HOME/keys.
    MASTER_KEYS: list[tuple[str, bytes]] = []
    #: ``{name: {label, icon, description, responder}}``; responder is a dotted path.
    WORKFLOWS: dict[str, dict[str, str]] = {}
    #: Sign-in without a password; refused unless DEBUG is on and the host is loopback.
    DEMO: bool = False

    #: Characters of one message; more is refused.
    MAX_MESSAGE_LENGTH: int = 2_000_000
    #: Messages of a session's live window; older ones stay readable but leave LLM memory.
    MAX_MESSAGES_PER_SESSION: int = 10_000
    #: Characters of a title.
    MAX_TITLE_LENGTH: int = 200
    #: Bytes of a session's or message's metadata as JSON.
    MAX_METADATA_BYTES: int = 65_536
    #: Characters of a tag, and tags of one session.
    MAX_TAG_LENGTH: int = 50
    MAX_TAGS: int = 50
    #: Sessions named in one bulk request.
    MAX_BULK: int = 1_000
    #: Bytes of an upload, unpacked, imported within the request; a larger one becomes a job.
    MAX_IMPORT_BYTES: int = 20_000_000
    #: Bytes of an upload altogether; more is refused.
    MAX_UPLOAD_BYTES: int = 2_000_000_000
    #: Jobs that one person may have open at once.
    MAX_JOBS: int = 20
    #: Seconds after which a job that its worker no longer keeps is given to another.
    JOB_LEASE: int = 60
    #: Messages opened for one search page before the answer says ``complete: false``.
    SEARCH_BUDGET: int = 20_000
    #: Where search looks: "auto", an index at rest in the database, or "memory", of a process.
    SEARCH_BACKEND: str = "auto"
    #: Bytes of the indexes that one process keeps in memory.
    SEARCH_MEMORY: int = 128 * 2**20
    #: Name of one of Django's CACHES that keeps opened pages, sealed, for all processes; none: "".
    CACHE: str = ""
    #: Seconds between two segments of the shipper.
    SHIP_SECONDS: float = 10
    #: Of how many hours, days, weeks and months the last backup is kept.
    BACKUP_KEEP: dict[str, int] = {"hourly": 24, "daily": 7, "weekly": 5, "monthly": 12}
    #: Folders of the fonts that PDFs are set in; none: those that come with the extra ``pdf``.
    PDF_FONT_PATHS: list[str] = []
    #: Answers streaming at once in one process.
    MAX_STREAMS: int = 4

    def __getattribute__(self, name: str) -> Any:
        default = object.__getattribute__(self, name)
        return getattr(host, f"CHATHISTORY_{name}", default) if name.isupper() else default


settings: Final = Settings()
