"""``schema`` and ``docs``: this API, without the rest of the host's, for who is signed in."""

from __future__ import annotations

from typing import Any

from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from .base import Door, View


class Ours(EndpointEnumerator):
    """The addresses of our own views."""

    def should_include_endpoint(self, path: str, callback: Any) -> bool:
        """Leave out what the host serves beside us."""
        ours = issubclass(getattr(callback, "cls", object), View)
        return ours and bool(super().should_include_endpoint(path, callback))


class Generator(SchemaGenerator):
    """Describes our own views."""

    endpoint_inspector_cls = Ours


class SchemaView(Door, SpectacularAPIView):
    """OpenAPI, as YAML or as JSON."""

    generator_class = Generator


class DocsView(Door, SpectacularSwaggerSplitView):
    """The schema for people."""

    metadata_class = None
    url_name = "chathistory-api:schema"
