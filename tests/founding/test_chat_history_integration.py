"""Founding document, multi-workflow integration: a chat's whole day in each of the twelve."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from project.workflows import WORKFLOWS


def test_there_are_twelve() -> None:
    assert len(WORKFLOWS) == 12


@pytest.mark.parametrize("workflow", sorted(WORKFLOWS))
def test_it_creates_talks_lists_searches_and_resumes(
    api: Any, bernard: User, workflow: str
) -> None:
    other = next(name for name in WORKFLOWS if name != workflow)
    api("POST", "sessions", {"workflow_type": other, "title": "Another"})
    status, made = api("POST", "sessions", {"workflow_type": workflow})
    assert status == 201
    path = f"sessions/{made['session_id']}"

    answer = talk(bernard, path, "Hello, how does RAG work?")
    assert "event: done" in answer

    _, page = api("GET", f"sessions?workflow={workflow}")
    (listed,) = page["sessions"]
    assert listed["session_id"] == made["session_id"]
    assert (listed["title"], listed["message_count"]) == ("Hello, how does RAG work?", 2)

    _, found = api("GET", f"search?q=rag&workflow={workflow}")
    assert made["session_id"] in {one["session_id"] for one in found["results"]}

    assert "event: done" in talk(bernard, path, "And what is a retriever?")
    _, resumed = api("GET", path)
    roles = [one["role"] for one in resumed["messages"]]
    assert roles == ["user", "assistant", "user", "assistant"]
    parents = [one["parent_id"] for one in resumed["messages"]]
    assert parents == [None, *(one["id"] for one in resumed["messages"][:3])]


def talk(user: User, path: str, content: str) -> str:
    """Ask the workflow's own responder and return its stream."""
    client = Client()
    client.force_login(user)
    kind = "application/json"
    url = f"/api/chat_history/{path}/reply"
    answer = client.post(url, {"content": content}, content_type=kind)
    assert answer.status_code == 200
    return b"".join(answer.streaming_content).decode()
