"""Uploads that never lie on a disk as they came: small ones stay in memory, large ones sealed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from django.core.files.uploadedfile import InMemoryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler

from chathistory import ids, spool
from chathistory.conf import settings
from chathistory.exceptions import LimitExceeded

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
    """Keeps what a request imports itself in memory, and seals what is larger as it comes."""

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
            self._writer = spool.Writer(ids.new_id())
            self._writer.write(self._memory.getvalue())
            self._memory = io.BytesIO()
        (self._writer or self._memory).write(raw_data)

    def file_complete(self, file_size: int) -> _File:
        """Return the file."""
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
