"""Founding document, backend unit tests: what its ChatHistoryManager does, in our verbs."""

from __future__ import annotations

from django.contrib.auth.models import User

from chathistory import represent
from chathistory.actions import messages, sessions
from chathistory.models import Session


class TestChatHistoryManager:
    def test_create_new_session_success(self, bernard: User) -> None:
        session = sessions.open(bernard, "agentic_rag")
        shown = represent.session_json(session)
        assert (shown["user_id"], shown["workflow_type"]) == ("bernard", "agentic_rag")
        assert shown["title"] == f"Chat {str(session.uuid)[-8:]}"
        assert shown["metadata"]["total_tokens"] == 0

    def test_add_message_to_session_success(self, bernard: User) -> None:
        session = sessions.open(bernard, "agentic_rag")
        asked = messages.append(session, bernard, "user", "Hello, how does RAG work?")
        session = sessions.open(bernard, "agentic_rag", session.uuid)
        assert (asked.seq, session.message_count) == (1, 1)
        assert session.last_activity == asked.created_at
        assert represent.session_json(session)["title"] == "Hello, how does RAG work?"

    def test_save_and_load_sessions(self, bernard: User) -> None:
        made = [sessions.open(bernard, name) for name in ("agentic_rag", "code_generator")]
        for session in made:
            messages.append(session, bernard, "user", f"About {session.workflow}")
            messages.append(session, bernard, "assistant", "Here you are.")
        for before in made:
            loaded = sessions.open(bernard, before.workflow, before.uuid)
            rows = represent.messages_json(loaded, loaded.messages.order_by("seq"))
            said = [(row["role"], row["content"]) for row in rows]
            assert said == [("user", f"About {before.workflow}"), ("assistant", "Here you are.")]
        assert Session.objects.mine(bernard).count() == 2
