"""Founding document, persistence tests: what was acknowledged survives the server's end."""

from __future__ import annotations

import json

from tests.founding.site import Site


def test_sessions_survive_a_restart_and_every_process_reads_the_same(site: Site) -> None:
    with site.serving():
        status, made = site.signed("POST", "sessions", {"workflow_type": "tutor", "title": "Kept"})
        assert status == 201
        path = f"sessions/{made['session_id']}"
        for number in range(5):
            said = {"role": "user", "content": f"word{number} and more"}
            assert site.signed("POST", f"{path}/messages", said)[0] == 201
        _, before = site.signed("GET", path)
    with site.serving():
        assert site.signed("GET", path) == (200, before)
        _, found = site.signed("GET", "search?q=word3")
        assert [one["session_id"] for one in found["results"]] == [made["session_id"]]
        assert site.signed("POST", f"{path}/messages", {"role": "user", "content": "6"})[0] == 201
    export = json.loads(site.manage("chat_export", "--user", "bernard", "-o", "-"))
    (kept,) = [one for one in export["sessions"] if one["title"] == "Kept"]
    assert [one["content"][:5] for one in kept["messages"]] == [
        *(f"word{n}" for n in range(5)),
        "6",
    ]


def test_a_server_that_is_killed_has_kept_what_it_acknowledged(site: Site) -> None:
    with site.serving():
        _, made = site.signed("POST", "sessions", {"workflow_type": "tutor"})
        path = f"sessions/{made['session_id']}/messages"
        acknowledged = []
        for number in range(20):
            status, said = site.signed("POST", path, {"role": "user", "content": str(number)})
            assert status == 201
            acknowledged.append(said["id"])
        site.kill()
    with site.serving():
        _, page = site.signed("GET", path)
        assert [one["id"] for one in page["messages"]] == acknowledged
