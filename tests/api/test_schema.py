"""The schema, what it promises, and the pages that are made of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from django.contrib.staticfiles import finders
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from tests.api.client import ROOT, Api, leave

schema = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(public=True))
OPERATIONS = [found.ok() for found in schema.get_all_operations()]
PAGES = ["sessions", "jobs", "workflows", "tags", "healthz", "search?q=yeast"]
ONLY_POST = ["sessions/bulk", "import"]


def test_it_is_made_without_a_warning(tmp_path: Path) -> None:
    out = str(tmp_path / "schema.yaml")
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", out)


def test_it_describes_us_and_not_the_rest_of_the_site(api: Api) -> None:
    served = api.get("schema", format="json").json()
    assert served["openapi"].startswith("3.")
    assert all(path.startswith(ROOT) for path in served["paths"])
    assert len(served["paths"]) == 26
    assert api.get("schema").status_code == 200


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.label.replace(ROOT, ""))
def test_answers_are_what_it_promises(api: Api, chat: str, operation: Any) -> None:
    known = {"session_id": chat, "message_id": api.say(chat, "x")["id"], "job_id": str(uuid4())}
    known["backup_id"] = str(uuid4())

    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def check(case: Any) -> None:
        case.path_parameters = {name: known[name] for name in case.path_parameters or {}}
        answer = call(api, case)
        assert answer.status_code < 500, (case.body, case.query, answer.content[:300])
        if answer.status_code >= 400:
            assert answer["Content-Type"] == "application/problem+json"
            assert answer.json()["code"]
            return
        assert str(answer.status_code) in operation.definition.raw["responses"]
        if answer.get("Content-Type") == "application/json" and not answer.streaming:
            promised(operation, answer)

    check()


def call(api: Api, case: Any) -> Any:
    """Send a case; of a stream only the first event is waited for."""
    query = {k: str(v) for k, v in (case.query or {}).items()}
    path = case.formatted_path.removeprefix(ROOT)
    body = case.body if isinstance(case.body, dict | list) else None
    if path.startswith("import"):
        fields = {k: v for k, v in (body or {}).items() if k != "file"}
        return api.upload("x.json", b"[]", **{k: str(v) for k, v in fields.items()})
    answer = api.send(case.method, path, body, query_params=query)
    if answer.streaming:
        next(iter(answer.streaming_content))
        leave(answer)
    return answer


def promised(operation: Any, answer: Any) -> None:
    """Check an answer against the schema of its status."""
    headers = {name.lower(): [value] for name, value in answer.items()}
    response = schemathesis.Response(
        status_code=answer.status_code,
        headers=headers,
        content=answer.content,
        request=None,
        elapsed=0.0,
        verify=False,
    )
    operation.validate_response(response)


@pytest.mark.parametrize("path", PAGES)
def test_each_page_shows_in_a_browser(api: Api, chat: str, path: str) -> None:
    answer = api.client.get(ROOT + path, headers={"Accept": "text/html"})
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"</html>" in answer.content


def test_so_does_each_row_and_each_verb_that_is_only_posted(api: Api, chat: str) -> None:
    message = api.get(f"sessions/{chat}").json()["messages"][0]["id"]
    rows = [f"sessions/{chat}", f"sessions/{chat}/messages", f"messages/{message}"]
    verbs = [f"sessions/{chat}/{verb}" for verb in ("fork", "pin", "restore")]
    for path, status in [*((p, 200) for p in rows), *((p, 405) for p in ONLY_POST + verbs)]:
        answer = api.client.get(ROOT + path, headers={"Accept": "text/html"})
        assert (answer.status_code, answer["Content-Type"]) == (status, "text/html; charset=utf-8")
        assert api.client.options(ROOT + path).status_code == 200


def test_the_docs_load_everything_from_here(api: Api) -> None:
    page = api.get("docs")
    assert page.status_code == 200
    linked = re.findall(r'(?:src|href)="([^"]+)"', page.content.decode())
    assert linked
    assert not [one for one in linked if "//" in one]
    static = [one.removeprefix("/static/") for one in linked if one.startswith("/static/")]
    assert len(static) >= 3
    assert all(finders.find(one) for one in static)
    script = api.client.get(f"{ROOT}docs?script=")
    assert b"SwaggerUIBundle" in script.content
    assert b"http://" not in script.content.replace(b"http://testserver", b"")
