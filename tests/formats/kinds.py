"""A small file of each format, of our own making: what tests read and what fuzzing begins with."""

from __future__ import annotations

import json
from typing import Any

from chathistory.formats import FORMATS
from tests.formats.samples import forest, message


def lines(*values: Any) -> bytes:
    """Return JSON Lines."""
    return b"".join(json.dumps(value, ensure_ascii=False).encode() + b"\n" for value in values)


NATIVE = {
    "session_id": "s-1",
    "workflow_type": "general",
    "created_at": "2025-01-14T10:30:00Z",
    "updated_at": "2025-01-14T10:31:00Z",
    "title": "Bread",
    "tags": ["kitchen"],
    "metadata": {"model": "m"},
    "messages": [
        {"id": "1", "role": "user", "content": "How?", "timestamp": "2025-01-14T10:30:00Z"},
        {"id": "2", "role": "assistant", "content": "So.", "blocks": [{"type": "text"}]},
    ],
}


def chatgpt() -> dict[str, Any]:
    """A conversation with branches, thoughts, pictures and a tool."""
    made = forest()
    thoughts = {"content_type": "thoughts", "thoughts": [{"summary": "Hm", "content": "Perhaps."}]}
    picture = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://f"}
    parts = {"content_type": "multimodal_text", "parts": [picture, "Look at this."]}
    attached = {"metadata": {"attachments": [{"id": "f", "name": "cat.png"}]}}
    made["mapping"]["c1"]["message"] = message("", "assistant") | {"content": thoughts}
    made["mapping"]["c2"]["message"] = message("") | {"content": parts} | attached
    for key, node in made["mapping"].items():
        if node["message"] is not None:
            node["message"]["id"] = key
    return made


CLAUDE = {
    "uuid": "c-1",
    "name": "Poem",
    "summary": "About a poem.",
    "created_at": "2025-02-01T08:00:00.000000Z",
    "updated_at": "2025-02-01T08:05:00.000000Z",
    "account": {"uuid": "a-1"},
    "chat_messages": [
        {
            "uuid": "m-1",
            "text": "Read this.",
            "content": [{"type": "text", "text": "Read this.", "citations": []}],
            "sender": "human",
            "created_at": "2025-02-01T08:00:01.500000Z",
            "parent_message_uuid": "00000000-0000-4000-8000-000000000000",
            "attachments": [
                {
                    "file_name": "poem.txt",
                    "file_size": 12,
                    "file_type": "txt",
                    "extracted_content": "Roses are red",
                }
            ],
            "files": [{"file_name": "rose.jpg"}],
        },
        {
            "uuid": "m-2",
            "text": "",
            "content": [
                {"type": "thinking", "thinking": "Which roses?", "summaries": []},
                {"type": "tool_use", "id": "t-1", "name": "look_up", "input": {"what": "rose"}},
                {
                    "type": "tool_result",
                    "tool_use_id": "t-1",
                    "content": [{"type": "text", "text": "A flower."}],
                    "is_error": False,
                },
                {
                    "type": "text",
                    "text": "A classic.",
                    "citations": [{"url": "https://rose.example"}],
                },
            ],
            "sender": "assistant",
            "created_at": "2025-02-01T08:00:09Z",
            "parent_message_uuid": "m-1",
            "attachments": [],
            "files": [],
        },
        {"uuid": "m-3", "text": "Only here.", "content": [], "sender": "human", "files": []}
        | {"created_at": None, "parent_message_uuid": "m-1"},
    ],
}

_THOUGHT = (
    '<details type="reasoning" done="true" duration="3">\n<summary>Thought for 3 seconds</summary>'
    "\n&gt; 3 &lt; 4\n&gt; so yes\n</details>\n"
)
_TOOL = (
    '<details type="tool_calls" done="true" id="t1" name="clock" arguments="&quot;{}&quot;" '
    'result="&quot;noon&quot;" files="">\n<summary>Tool Executed</summary>\n</details>\n'
)
OPENWEBUI = {
    "id": "w-1",
    "user_id": "u",
    "title": "Time",
    "chat": {
        "title": "Time",
        "models": ["llama3"],
        "history": {
            "currentId": "w3",
            "messages": {
                "w1": {
                    "id": "w1",
                    "parentId": None,
                    "childrenIds": ["w2", "w3"],
                    "role": "user",
                    "content": "Is it noon? <details>",
                    "timestamp": 1700000000,
                    "files": [
                        {
                            "type": "file",
                            "name": "a.txt",
                            "file": {"filename": "a.txt", "data": {"content": "inside a"}},
                        }
                    ],
                },
                "w2": {
                    "id": "w2",
                    "parentId": "w1",
                    "childrenIds": [],
                    "role": "assistant",
                    "content": f"{_THOUGHT}{_TOOL}It is noon.",
                    "model": "llama3",
                    "timestamp": 1700000010,
                },
                "w3": {
                    "id": "w3",
                    "parentId": "w1",
                    "childrenIds": [],
                    "role": "assistant",
                    "content": "",
                    "model": "qwen",
                    "timestamp": 1700000020,
                    "output": [
                        {"type": "reasoning", "content": [{"type": "output_text", "text": "hm"}]},
                        {"type": "function_call", "call_id": "k", "name": "clock"}
                        | {"arguments": "{}"},
                        {
                            "type": "function_call_output",
                            "call_id": "k",
                            "output": [{"type": "input_text", "text": "noon"}],
                        },
                        {
                            "type": "message",
                            "role": "assistant",
                            "content": [{"type": "output_text", "text": "Noon it is."}],
                        },
                    ],
                },
            },
        },
    },
    "created_at": 1700000000,
    "updated_at": 1700000020,
    "archived": True,
    "pinned": True,
    "meta": {"tags": ["time"]},
    "folder_id": None,
}


def _libre(name: str, mine: bool, text: str, **more: Any) -> dict[str, Any]:
    about = {"messageId": name, "isCreatedByUser": mine, "sender": "user" if mine else "GPT-4"}
    return about | {"text": text, "createdAt": "2024-04-09T14:32:05.230Z"} | more


LIBRECHAT = {
    "conversationId": "l-1",
    "endpoint": "openAI",
    "title": "Cars",
    "exportAt": "16:33:32 GMT+0200 (Central European Summer Time)",
    "branches": True,
    "recursive": True,
    "options": {"model": "gpt-4o"},
    "messagesTree": [
        _libre(
            "r1",
            True,
            "Which car?",
            parentMessageId="00000000-0000-0000-0000-000000000000",
            files=[{"filename": "car.pdf", "type": "application/pdf"}],
            children=[
                _libre("r2", False, "This one.", model="gpt-4o", tokenCount=3, children=[]),
                _libre(
                    "r3",
                    False,
                    "",
                    content=[
                        {"type": "think", "think": "Or that?"},
                        {
                            "type": "tool_call",
                            "tool_call": {"id": "c", "name": "cars", "args": "{}", "output": "2"},
                        },
                        {"type": "text", "text": {"value": "That one."}},
                    ],
                    error=False,
                    unfinished=True,
                    children=[],
                ),
            ],
        ),
        _libre("r4", True, "A second root", parentMessageId=None, children=[]),
    ],
}

CHATBOTUI = {
    "version": 4,
    "history": [
        {
            "id": "u-1",
            "name": "Greeting",
            "messages": [
                {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": "Hello!"},
            ],
            "model": {"id": "gpt-4", "name": "GPT-4"},
            "prompt": "Be kind.",
            "temperature": 0.5,
            "folderId": None,
        }
    ],
    "folders": [],
    "prompts": [{"id": "p", "name": "P", "content": "not a chat"}],
}

AISTUDIO = {
    "runSettings": {"model": "models/gemini-2.5-pro", "temperature": 1.0},
    "systemInstruction": {"text": "Answer briefly."},
    "chunkedPrompt": {
        "chunks": [
            {"driveDocument": {"id": "d-1"}, "role": "user", "tokenCount": 258},
            {
                "text": "What is it?",
                "role": "user",
                "tokenCount": 4,
                "createTime": "2025-06-01T12:00:00.123Z",
            },
            {"text": "I look at it.", "role": "model", "isThought": True},
            {"text": "A plan.", "role": "model", "finishReason": "STOP", "tokenCount": 3},
            {
                "role": "model",
                "executableCode": {"language": "PYTHON", "code": "1+1"},
                "codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"},
            },
        ],
        "pendingInputs": [{"text": "", "role": "user"}],
    },
}

GEMINI = [
    {
        "header": "Gemini Apps",
        "title": "Prompted What is <b>?",
        "time": "2026-02-02T07:24:02.806Z",
        "products": ["Gemini Apps"],
        "activityControls": ["Gemini Apps Activity"],
        "subtitles": [{"name": "Attached 1 file."}, {"name": "-  tag.png", "url": "tag-1.png"}],
        "imageFile": "tag-1.png",
        "safeHtmlItem": [
            {"html": "<p>It is <strong>bold</strong> &amp; old.</p><ul><li>one<li>two</ul>"},
            {"html": "<pre>a &lt; b</pre>"},
        ],
    },
    {
        "header": "Gemini Apps",
        "title": "Created a document",
        "time": "2026-02-01T07:24:02Z",
        "products": ["Gemini Apps"],
    },
]


def _code(uuid: str, parent: str | None, kind: str, content: Any, **more: Any) -> dict[str, Any]:
    inner = {"role": kind, "content": content} | ({"model": "m"} if kind == "assistant" else {})
    about = {"type": kind, "uuid": uuid, "parentUuid": parent, "message": inner}
    return about | {"sessionId": "k-1", "timestamp": f"2026-03-01T10:00:0{uuid[1]}Z"} | more


CLAUDE_CODE = [
    {"type": "file-history-snapshot", "messageId": "u1", "snapshot": {}, "isSnapshotUpdate": False},
    _code("u1", None, "user", "Mend the test.", cwd="/src", gitBranch="main", version="2.0"),
    _code("u2", "u1", "assistant", [{"type": "thinking", "thinking": "Which?", "signature": "x"}]),
    {"type": "progress", "uuid": "u3", "parentUuid": "u2", "sessionId": "k-1", "data": {}},
    _code(
        "u4",
        "u3",
        "assistant",
        [{"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": "make test"}}],
    ),
    _code(
        "u5",
        "u4",
        "user",
        [{"type": "tool_result", "tool_use_id": "t", "content": "1 failed", "is_error": True}],
        toolUseResult={"stdout": "1 failed"},
    ),
    _code("u6", "u5", "assistant", [{"type": "text", "text": "Mended."}]),
    _code("u7", "u1", "assistant", "Another branch.", isSidechain=True, isMeta=True),
    {"type": "summary", "summary": "Mending a test", "leafUuid": "u6"},
]


def _roll(kind: str, payload: dict[str, Any], second: int = 0) -> dict[str, Any]:
    return {"timestamp": f"2026-04-01T09:00:{second:02}Z", "type": kind, "payload": payload}


CODEX = [
    _roll(
        "session_meta",
        {"id": "x-1", "timestamp": "2026-04-01T09:00:00Z", "cwd": "/src", "git": {}},
    ),
    _roll(
        "response_item",
        {
            "type": "message",
            "role": "developer",
            "content": [{"type": "input_text", "text": "Rules."}],
        },
        1,
    ),
    _roll("turn_context", {"model": "gpt-5-codex", "cwd": "/src"}, 2),
    _roll(
        "response_item",
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "List them."}],
        },
        3,
    ),
    _roll("event_msg", {"type": "user_message", "message": "List them."}, 3),
    _roll(
        "response_item",
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "**Listing**"}]}
        | {"content": None, "encrypted_content": "gAAA"},
        4,
    ),
    _roll(
        "response_item",
        {"type": "function_call", "name": "shell", "arguments": '{"cmd":"ls"}', "call_id": "q"},
        5,
    ),
    _roll("response_item", {"type": "function_call_output", "call_id": "q", "output": "a b"}, 6),
    _roll(
        "response_item",
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "a and b"}],
        },
        7,
    ),
    _roll("compacted", {"message": "So far: a and b."}, 8),
    _roll("event_msg", {"type": "token_count", "info": None}, 9),
]

SHAREGPT = [
    {
        "id": "g_0",
        "conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": "Hi"},
            {"from": "gpt", "value": "Hi!"},
            {"from": "function_call", "value": '{"name": "now"}'},
            {"from": "observation", "value": "noon"},
        ],
    },
    {"id": "g_1", "conversations": []},
]

OPENAI = {
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "https://pic.example/1.png"}},
            ],
            "name": "Ann",
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "t",
                    "type": "function",
                    "function": {"name": "see", "arguments": '{"n": 1}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "t", "content": "a cat"},
        {"role": "assistant", "content": "A cat.", "reasoning_content": "Whiskers."},
    ]
}

#: By format, the files of that format.
FILES: dict[str, list[bytes]] = {
    "native": [
        json.dumps({"format": "django-chathistory", "version": 1, "sessions": [NATIVE]}).encode(),
        lines(NATIVE, NATIVE | {"session_id": "s-2"}),
    ],
    "chatgpt": [json.dumps([chatgpt()]).encode()],
    "claude": [json.dumps([CLAUDE]).encode()],
    "openwebui": [json.dumps([OPENWEBUI]).encode()],
    "librechat": [json.dumps(LIBRECHAT).encode()],
    "aistudio": [json.dumps(AISTUDIO).encode()],
    "gemini": [json.dumps(GEMINI).encode()],
    "claude-code": [lines(*CLAUDE_CODE)],
    "codex": [lines(*CODEX)],
    "sharegpt": [json.dumps(SHAREGPT).encode(), lines(*SHAREGPT)],
    "chatbotui": [json.dumps(CHATBOTUI).encode()],
    "openai": [
        lines(OPENAI, OPENAI | {"id": "other"}),
        json.dumps(OPENAI["messages"]).encode(),
        lines(*OPENAI["messages"]),
    ],
}

assert FILES.keys() == FORMATS.keys()
