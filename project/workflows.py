"""The twelve kinds of conversation the standalone site offers.

Each is answered from the person's own history, so the site needs no model and no network;
point `responder` at your own function to have a model answer.
"""

from __future__ import annotations

RESPONDER = "project.responders.answer_from_history"


def workflow(label: str, icon: str, description: str) -> dict[str, str]:
    """Describe one workflow."""
    return {"label": label, "icon": icon, "description": description, "responder": RESPONDER}


WORKFLOWS = {
    "agentic_rag": workflow(
        "Agentic RAG", "🧭", "Looks things up step by step and names its sources."
    ),
    "code_generator": workflow(
        "Code Generator", "💻", "Writes code from a description and explains it."
    ),
    "document_qa": workflow("Document Q&A", "📄", "Answers questions about your documents."),
    "data_analyst": workflow("Data Analyst", "📊", "Reads tables and finds what stands out."),
    "sql_assistant": workflow("SQL Assistant", "🗃️", "Turns questions into queries."),
    "research_assistant": workflow(
        "Research Assistant", "🔬", "Gathers findings and weighs them against each other."
    ),
    "writing_coach": workflow("Writing Coach", "✍️", "Makes a draft clearer, in your own voice."),
    "translator": workflow("Translator", "🌍", "Translates and tells where meaning shifts."),
    "summarizer": workflow("Summarizer", "📝", "Boils long texts down to what matters."),
    "tutor": workflow("Tutor", "🎓", "Explains a subject at your pace and checks along the way."),
    "brainstorm": workflow("Brainstorm", "💡", "Collects many ideas before judging any."),
    "customer_support": workflow(
        "Customer Support", "🎧", "Works through a problem until it is solved."
    ),
}
