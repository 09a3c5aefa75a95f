"""An app that brings the tests' kinds of jobs into every process of a site."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class KindsConfig(AppConfig):
    """The tests' kinds."""

    name = "tests.tasks"
    label = "test_kinds"

    def ready(self) -> None:
        """Register them."""
        import_module("tests.tasks.kinds")
