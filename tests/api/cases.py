"""Bodies that every endpoint with a body must refuse."""

from __future__ import annotations

import pytest

#: Bodies that are no JSON object at all: 400 without a field.
NO_OBJECT = [
    pytest.param(b'{"content":', id="malformed"),
    pytest.param(b'{"content": "\xff\xfe"}', id="invalid UTF-8"),
    pytest.param('{"content": "x"}'.encode("utf-16"), id="UTF-16"),
    pytest.param(b"\xef\xbb\xbf{}", id="a byte order mark"),
    pytest.param(b"[1]", id="array"),
    pytest.param(b"5", id="scalar"),
    pytest.param(b"null", id="null"),
    pytest.param(b'"x"', id="string"),
    pytest.param(b'{"metadata": NaN}', id="NaN"),
    pytest.param(b'{"tokens": 1' + b"0" * 5_000 + b"}", id="huge integer"),
    pytest.param(b'{"a":' * 100_000, id="deep beyond the parser"),
]

DEEP = b'{"a":' * 200 + b"1" + b"}" * 200
