"""Master keys: where they come from, and wrapping an account's key under the newest.

Keys come from ``CHATHISTORY_MASTER_KEYS`` or from a 0600 file under HOME, never from
``SECRET_KEY``. Wrapping is django_cryptography's Fernet with its own encryption and signing
keys, derived from the master key; the payload is JSON and names what it belongs to.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidKey
from django.core.signing import BadSignature
from django_cryptography.core.signing import FernetSigner
from django_cryptography.utils.crypto import FernetBytes, InvalidToken

from . import crypto
from .conf import settings
from .exceptions import MasterKeyError


def key_file() -> Path:
    """Return where the standalone site keeps its master keys."""
    return Path(settings.HOME) / "keys" / "master.keys"


def keys() -> dict[str, bytes]:
    """Return the master keys by id, newest first.

    Raises MasterKeyError when there is neither a setting nor a file, or one is malformed.
    """
    configured = settings.MASTER_KEYS
    return _checked(tuple(configured)) if configured else dict(_read(key_file()))


def create_file() -> None:
    """Make the key file with one random key, unless there is one or the setting is used."""
    if settings.MASTER_KEYS or key_file().exists():
        return
    key_file().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = crypto.new_key()
    line = f"{hashlib.sha256(key).hexdigest()[:8]} {b64encode(key).decode()}\n"
    draft = key_file().with_name(f"{key_file().name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(line)
            out.flush()
            os.fsync(out.fileno())
        with contextlib.suppress(FileExistsError):  # another process was first
            os.link(draft, key_file())
    finally:
        draft.unlink(missing_ok=True)


def wrap(payload: dict[str, Any]) -> bytes:
    """Return ``payload`` sealed under the newest master key, its id in front."""
    name, key = next(iter(keys().items()))
    return name.encode() + b"\0" + _fernet(key).encrypt(json.dumps(payload).encode())


def unwrap(wrapped: bytes) -> dict[str, Any]:
    """Return the payload. Raises MasterKeyError naming the key id that is missing or wrong."""
    name = key_id(wrapped)
    known = keys()
    if name not in known:
        raise MasterKeyError(
            f"Master key {name!r} is needed to open this data, but is not among those"
            f" configured ({', '.join(map(repr, known))})."
        )
    try:
        payload = _fernet(known[name]).decrypt(wrapped.partition(b"\0")[2])
    except (BadSignature, InvalidToken, InvalidKey):
        raise MasterKeyError(
            f"Master key {name!r} does not open this data: its 32 bytes are not those that"
            " sealed it."
        ) from None
    result: dict[str, Any] = json.loads(payload)
    return result


def key_id(wrapped: bytes) -> str:
    """Return the id of the master key that wrapped this."""
    return bytes(wrapped).partition(b"\0")[0].decode("ascii", "replace")


@lru_cache(maxsize=8)
def _fernet(key: bytes) -> FernetBytes:
    signer = FernetSigner(crypto.derive(key, "master/sign"))
    return FernetBytes(crypto.derive(key, "master/encrypt"), signer)


def _checked(configured: tuple[tuple[str, bytes], ...]) -> dict[str, bytes]:
    for name, key in configured:
        if not name or not name.isascii() or "\0" in name or len(name) > 64:
            raise MasterKeyError("A master key's id is 1 to 64 ASCII characters.")
        if not isinstance(key, bytes) or len(key) != crypto.KEY_BYTES:
            raise MasterKeyError(f"Master key {name!r} must be {crypto.KEY_BYTES} bytes.")
    return dict(configured)


@lru_cache(maxsize=8)
def _read(path: Path) -> tuple[tuple[str, bytes], ...]:
    try:
        lines = path.read_text("ascii").splitlines()
    except FileNotFoundError:
        raise MasterKeyError(f"There is no master key file at {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise MasterKeyError(f"The master key file {path} cannot be read: {error}.") from None
    pairs = [line.split() for line in lines if line.strip()]
    try:
        found = tuple((name, b64decode(key, validate=True)) for name, key in pairs)
    except (ValueError, Base64Error):
        raise MasterKeyError(f"The master key file {path} is malformed.") from None
    if not found:
        raise MasterKeyError(f"The master key file {path} is empty.")
    return tuple(_checked(found).items())
