"""Uploads that never lie on a disk as they came: small ones stay in memory, large ones sealed."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from django.core.files.uploadedfile import InMemoryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler

from chathistory import ids, spool
from chathistory.conf import settings
from chathistory.exceptions import LimitExceeded
from chathistory.formats.archive import MAX_ENTRIES

_HEADER = b"PK\x01\x02"
#: An entry of a zip's directory and the size it declares; one may seem to stand within another.
_ENTRY = re.compile(_HEADER + rb"(?=.{20}(.{4}))", re.DOTALL)

if TYPE_CHECKING:
    _File = UploadedFile[bytes]
else:
    _File = UploadedFile


class SealedUpload(_File):
    """A large upload in the spool; removed with the request unless somebody keeps it."""

    def __init__(self, writer: spool.Writer, name: str | None, kind: str | None) -> None:
        super().__init__(name=name, content_type=kind, size=writer.size)
        self.uuid, self.key = writer.uuid, writer.raw_key
        self.is_kept = False

    def close(self) -> None:
        """Forget the file, unless it was kept."""
        if not self.is_kept:
            spool.delete(self.uuid)


class SealedUploadHandler(FileUploadHandler):
    """Keeps what a request imports itself in memory, and seals what is larger as it comes.

    Of a zip it is what comes out of it that is large.
    """

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Begin a file."""
        super().new_file(*args, **kwargs)
        self._memory = io.BytesIO()
        self._writer: spool.Writer | None = None

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Take some bytes. Raises LimitExceeded, or Unavailable where the disk is full."""
        size = start + len(raw_data)
        if size > settings.MAX_UPLOAD_BYTES:
            self.upload_interrupted()
            raise LimitExceeded("Bytes of a file", settings.MAX_UPLOAD_BYTES, size, field="file")
        if self._writer is None and size > settings.MAX_IMPORT_BYTES:
            self._writer = self._sealed()
        (self._writer or self._memory).write(raw_data)

    def _sealed(self) -> spool.Writer:
        """Move what came so far into the spool."""
        writer = spool.Writer(ids.new_id())
        writer.write(self._memory.getvalue())
        self._memory = io.BytesIO()
        return writer

    def file_complete(self, file_size: int) -> _File:
        """Return the file."""
        if self._writer is None and _unpacks_to_more(self._memory, settings.MAX_IMPORT_BYTES):
            self._writer = self._sealed()
        if self._writer is not None:
            self._writer.finish()
            return SealedUpload(self._writer, self.file_name, self.content_type)
        self._memory.seek(0)
        return InMemoryUploadedFile(
            file=self._memory,
            field_name=self.field_name,
            name=self.file_name,
            content_type=self.content_type,
            size=file_size,
            charset=self.charset,
            content_type_extra=self.content_type_extra,
        )

    def upload_interrupted(self) -> None:
        """Forget what came before the client went away."""
        if self._writer is not None:
            self._writer.discard()


def _unpacks_to_more(file: io.BytesIO, limit: int) -> bool:
    """Tell whether a zip declares more than ``limit`` bytes; no entry gives more than it declares.

    The directory is not parsed, for which a hostile one would take memory; what only looks like an
    entry counts as one.
    """
    data = file.getvalue()
    if not data.startswith(b"PK"):
        return False
    if data.count(_HEADER) > MAX_ENTRIES:
        return True
    return sum(int.from_bytes(one[1], "little") for one in _ENTRY.finditer(data)) > limit
