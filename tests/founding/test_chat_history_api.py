"""Founding document, API integration tests."""

from __future__ import annotations

from typing import Any

NEW = {"workflow_type": "agentic_rag", "title": "Chat about RAG implementation"}


class TestChatHistoryAPI:
    def test_get_sessions_success(self, api: Any) -> None:
        for number in range(3):
            api("POST", "sessions", NEW | {"title": f"Chat {number}"})
        status, page = api("GET", "sessions?page=1&page_size=2")
        assert status == 200
        assert [one["title"] for one in page["sessions"]] == ["Chat 2", "Chat 1"]
        numbers = (page["total"], page["page"], page["page_size"], page["total_pages"])
        assert numbers == (3, 1, 2, 2)

    def test_create_session_success(self, api: Any) -> None:
        status, made = api("POST", "sessions", NEW)
        assert status == 201
        assert (made["user_id"], made["title"]) == ("bernard", NEW["title"])
        named = {"session_id", "user_id", "workflow_type", "created_at", "updated_at", "title"}
        assert named | {"metadata"} <= made.keys()
        assert {"total_tokens", "last_activity"} <= made["metadata"].keys()

    def test_add_message_success(self, api: Any) -> None:
        _, made = api("POST", "sessions", NEW)
        path = f"sessions/{made['session_id']}"
        said = {"role": "user", "content": "Hello, how does RAG work?"}
        status, message = api("POST", f"{path}/messages", said)
        assert status == 201
        assert {"id", "role", "content", "timestamp", "metadata"} <= message.keys()
        status, loaded = api("GET", path)
        assert (status, [one["content"] for one in loaded["messages"]]) == (200, [said["content"]])
        _, page = api("GET", f"{path}/messages?offset=0&limit=50")
        assert page["messages"] == loaded["messages"]
