"""The site: the app's pages at its root, its API beneath, Django's own sign-in and admin."""

from __future__ import annotations

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import include, path, re_path
from django.views.defaults import page_not_found
from django.views.generic import RedirectView

from . import demo


def nothing(request: HttpRequest) -> HttpResponse:
    """Answer 404 with the site's own page, under DEBUG too."""
    return page_not_found(request, Http404())


urlpatterns = [
    path("", RedirectView.as_view(url="/chat/")),
    path("", include("chathistory.urls")),
    path("api/chat_history/", include("chathistory.api.urls")),
    path("accounts/login/", demo.SignIn.as_view(), name="login"),
    path("accounts/demo/", demo.Continue.as_view(), name="demo"),
    path("accounts/", include("django.contrib.auth.urls")),
    path("admin/", admin.site.urls),
    # With its slash: without one, Django looks whether adding it leads somewhere.
    re_path(r".*/$", nothing),
]
