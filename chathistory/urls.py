"""The pages: include at the site's root."""

from __future__ import annotations

from django.urls import path

from . import views

app_name = "chathistory"

urlpatterns = [
    path("chat/", views.start, name="start"),
    path("chat/history/", views.history, name="history"),
    path("chat/history/<uuid:session_id>/", views.session, name="session"),
    path("chat/history/<uuid:session_id>/rename/", views.rename, name="rename"),
    path("chat/history/<uuid:session_id>/pin/", views.pin, name="pin"),
    path("chat/history/<uuid:session_id>/delete/", views.delete, name="delete"),
    path("chat/history/<uuid:session_id>/archive/", views.archive, name="archive"),
    path("chat/history/<uuid:session_id>/resume/", views.resume, name="resume"),
    path("chat/history/<uuid:session_id>/restore/", views.restore, name="restore"),
    path("chat/<slug:workflow>/", views.chat, name="chat"),
]
