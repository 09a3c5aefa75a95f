"""Bodies as JSON and as forms, strictly in UTF-8: what is none is refused, never replaced."""

from __future__ import annotations

from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from django.http import QueryDict
from django.http.multipartparser import MultiPartParser as DjangoMultiPartParser
from django.http.multipartparser import MultiPartParserError
from django.utils.datastructures import MultiValueDict
from django.utils.http import parse_header_parameters
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import DataAndFiles, FormParser, JSONParser, MultiPartParser

from chathistory.exceptions import Invalid


class Utf8JSONParser(JSONParser):
    """JSON in UTF-8, without NaN; bytes that are no UTF-8 are bad input, not an error of ours."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """Return the parsed body."""
        _check_charset(media_type)
        try:
            return super().parse(
                stream, media_type, {**(parser_context or {}), "encoding": "utf-8"}
            )
        except (UnicodeError, RecursionError, ValueError) as error:
            raise Invalid(f"The body is not JSON in UTF-8: {error}.") from None


class Utf8FormParser(FormParser):
    """A form in UTF-8."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """Return the fields."""
        _check_charset(media_type)
        body = stream.read()
        try:
            unquote_to_bytes(body).decode()
        except UnicodeDecodeError as error:
            raise Invalid(_("The form is not in UTF-8: %s.") % error) from None
        return super().parse(BytesIO(body), media_type, {"encoding": "utf-8"})


class Utf8MultiPartParser(MultiPartParser):
    """A form with files, its texts in UTF-8."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """Return the fields and files."""
        _check_charset(media_type)
        request = parser_context["request"]
        meta = request.META | {"CONTENT_TYPE": media_type}
        try:
            fields, files = _Form(meta, stream, request.upload_handlers, "latin-1").parse()
        except MultiPartParserError as error:
            raise ParseError(_("The form cannot be read: %s") % error) from None
        decoded = QueryDict(mutable=True, encoding="utf-8")
        for name, values in fields.lists():
            decoded.setlist(_decoded(name), [_decoded(value, name) for value in values])
        return DataAndFiles(decoded, MultiValueDict(dict(files.lists())))


class _Form(DjangoMultiPartParser):
    """Read as Latin-1, which keeps each byte as a character: Django's own way loses them."""

    def sanitize_file_name(self, file_name: str) -> Any:
        """Return a file's name, itself only, or None."""
        return super().sanitize_file_name(_decoded(file_name))


def _check_charset(media_type: str | None) -> None:
    _name, options = parse_header_parameters(media_type or "")
    if options.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType(str(media_type), _("Only UTF-8 is read here."))


def _decoded(value: str, field: str = "") -> str:
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError as error:
        raise Invalid(_("Not in UTF-8: %s.") % error, field=field) from None
