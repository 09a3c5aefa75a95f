"""Signing in as `demo` without a password: only in demo mode, only from this machine."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.contrib.auth.views import LoginView, RedirectURLMixin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import View

NAME = "demo"
#: A proxy on this machine would make everybody look like its neighbour.
_PROXIED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


def is_open_to(request: HttpRequest) -> bool:
    """Tell whether this request may sign in as the demo person."""
    if not (settings.CHATHISTORY_DEMO and settings.DEBUG):
        return False
    return _is_loopback(request) and not any(name in request.headers for name in _PROXIED)


def _is_loopback(request: HttpRequest) -> bool:
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


@method_decorator(sensitive_post_parameters(), name="dispatch")
class SignIn(LoginView):
    """Django's sign-in page, which offers the demo where it is open."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the page shows."""
        return super().get_context_data(**kwargs, demo=is_open_to(self.request))


class Continue(RedirectURLMixin, View):
    """The button "Continue as demo"."""

    http_method_names = ["post"]
    next_page = settings.LOGIN_REDIRECT_URL

    def post(self, request: HttpRequest) -> HttpResponse:
        """Sign in; to everybody else there is no such page."""
        people = get_user_model()._default_manager
        person = people.filter(username=NAME, is_active=True, is_staff=False).first()
        if not is_open_to(request) or person is None:
            raise Http404
        login(request, person, backend="django.contrib.auth.backends.ModelBackend")
        return redirect(self.get_success_url())
