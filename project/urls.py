"""The site: the app's pages at its root, its API beneath, Django's own sign-in and admin."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from . import demo

urlpatterns = [
    path("", RedirectView.as_view(url="/chat/")),
    path("", include("chathistory.urls")),
    path("api/chat_history/", include("chathistory.api.urls")),
    path("accounts/login/", demo.SignIn.as_view(), name="login"),
    path("accounts/demo/", demo.Continue.as_view(), name="demo"),
    path("accounts/", include("django.contrib.auth.urls")),
    path("admin/", admin.site.urls),
]
