"""``Authorization: Token ...``: our own tokens, stored hashed, limited to scopes."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from chathistory.actions import tokens
from chathistory.models import Token


class TokenAuthentication(BaseAuthentication):
    """Signs in the owner of a token that is neither revoked nor expired."""

    def authenticate(self, request: Request) -> tuple[Any, Token] | None:
        """Return the user and the token, or None when no token is given."""
        kind, _, secret = get_authorization_header(request).partition(b" ")
        if kind.lower() != b"token":
            return None
        token = tokens.find(secret.strip().decode("latin-1"))
        user = token.account.user if token else None
        if token is None or user is None or not user.is_active:
            raise AuthenticationFailed("The token is unknown, expired or revoked.")
        user.chathistory_account = token.account
        return user, token

    def authenticate_header(self, request: Request) -> str:
        """Make a missing sign-in a 401."""
        return "Token"


class HasScope(BasePermission):
    """A token may do what its scopes say; a signed-in browser may do everything."""

    message = "The token's scopes do not allow this."

    def has_permission(self, request: Request, view: Any) -> bool:
        """Tell whether the token may read or write."""
        if not isinstance(request.auth, Token):
            return True
        wanted = "read" if request.method in SAFE_METHODS else "write"
        return wanted in request.auth.scopes.split()


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema names our tokens."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return the OpenAPI security scheme."""
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "Token and a space, then what chat_token printed",
        }
