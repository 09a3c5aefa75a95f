"""What the site reads from its environment, and the secret it keeps when none is given."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


def flag(name: str, *, default: bool = False) -> bool:
    """Read a yes or no. Raises ValueError for anything else."""
    value = os.environ.get(name)
    if value is None:
        return default
    if value.strip().lower() in TRUE:
        return True
    if value.strip().lower() in FALSE:
        return False
    raise ValueError(f"{name} must be 1 or 0")


def words(name: str, default: str = "") -> list[str]:
    """Read a comma-separated list."""
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


def folder(path: Path) -> Path:
    """Make a folder that only the site's own user may enter."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def kept_secret(path: Path) -> str:
    """Return the secret in `path`, making it first; two processes at once agree on one."""
    if not path.exists():
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        draft.touch(mode=0o600, exist_ok=False)
        draft.write_text(secrets.token_urlsafe(50), encoding="ascii")
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text(encoding="ascii").strip()


def database(url: str) -> dict[str, Any]:
    """Turn a `sqlite:` or `postgres:` address into Django's settings.

    `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgres://user:password@host:5432/name`;
    `?host=/folder` names a unix socket, every other `?key=value` is passed to the driver.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return sqlite(unquote(parts.path[1:]))
    if parts.scheme in {"postgres", "postgresql"}:
        return postgres(url)
    raise ValueError("DATABASE_URL must begin with sqlite:/// or postgres://")


def sqlite(name: Path | str) -> dict[str, Any]:
    """Return the settings a SQLite file needs to keep what it acknowledged, and no more."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": name,
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "timeout": 30,
            "transaction_mode": "IMMEDIATE",
            "init_command": (
                "PRAGMA journal_mode=WAL;"
                "PRAGMA synchronous=FULL;"
                "PRAGMA secure_delete=ON;"
                "PRAGMA temp_store=MEMORY;"
                "PRAGMA cache_size=-16384;"
                "PRAGMA mmap_size=67108864"
            ),
        },
    }


def postgres(url: str) -> dict[str, Any]:
    """Return the settings for a PostgreSQL address."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path[1:]),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }


def broker(redis_url: str, spool: Path) -> dict[str, Any]:
    """Return Celery's broker settings: Redis where there is one, else a folder."""
    if redis_url:
        # Kombu's own name for a socket. Redelivery waits for longer than any task may take; the
        # sweep finds what was lost much earlier. A broker that hangs is left, and tried again.
        url = redis_url.replace("unix://", "redis+socket://", 1)
        patience = {"socket_connect_timeout": 5, "socket_timeout": 15, "socket_keepalive": True}
        return {
            "broker_url": url,
            "broker_transport": None,
            "broker_transport_options": {"visibility_timeout": 12 * 3600, **patience},
        }
    messages, control = folder(spool / "messages"), folder(spool / "control")
    return {
        "broker_url": "filesystem://localhost//",
        "broker_transport": "project.folder:Transport",
        # One folder for both directions: the site and its worker are on one machine.
        "broker_transport_options": {
            "data_folder_in": str(messages),
            "data_folder_out": str(messages),
            "control_folder": str(control),
            "polling_interval": 0.2,
        },
    }


def cache(redis_url: str) -> dict[str, Any]:
    """Return Django's default cache: Redis where there is one, else each process's memory."""
    if redis_url:
        return {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": redis_url}
    return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}


def backup_storage(url: str) -> dict[str, Any]:
    """Turn an `s3:` address into the settings of a storage for backups.

    `s3://bucket/prefix?endpoint_url=https://…&region_name=…&read_timeout=30`. The keys come from
    where Amazon's own tools look for them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a file.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    patience = float(options.pop("read_timeout", "30"))
    unknown = options.keys() - {"endpoint_url", "region_name"}
    if parts.scheme != "s3" or not parts.netloc or unknown:
        raise ValueError(
            "CHATHISTORY_BACKUP_STORAGE must be like s3://bucket/prefix?endpoint_url=…"
        )
    from botocore.config import Config  # an optional package

    retries = {"max_attempts": 3, "mode": "standard"}
    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": parts.netloc,
            "location": parts.path.strip("/"),
            "file_overwrite": True,  # a name is the hash of what it names
            "max_memory_size": 8 * 2**20,
            "client_config": Config(connect_timeout=5, read_timeout=patience, retries=retries),
            **options,
        },
    }


def page_caches(redis_url: str, home: Path) -> dict[str, Any]:
    """Return the caches that opened pages may be kept in: a folder, and Redis where there is one.

    A page that takes longer to come than to be opened is not worth waiting for.
    """
    backends = "django.core.cache.backends"
    options: dict[str, Any] = {"MAX_ENTRIES": 1_000}
    file = {"BACKEND": f"{backends}.filebased.FileBasedCache", "LOCATION": str(home)}
    found = {"chat_file": file | {"OPTIONS": options}}
    if redis_url:
        quick = {"socket_connect_timeout": 0.1, "socket_timeout": 0.1}
        redis = {"BACKEND": f"{backends}.redis.RedisCache", "LOCATION": redis_url}
        found["chat_redis"] = redis | {"OPTIONS": quick}
    return found
