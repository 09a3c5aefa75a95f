"""System checks: each wrong setting is named, with an id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from chathistory import keyring, startup
from chathistory.actions import accounts
from chathistory.models import Account

pytestmark = pytest.mark.django_db


def ids() -> set[str | None]:
    return {one.id for one in run_checks(databases=["default"]) if str(one.id).startswith("chat")}


@pytest.fixture(autouse=True)
def _fresh_keys() -> Iterator[None]:
    keyring.forget()
    yield
    keyring.forget()


def test_this_site_is_clean() -> None:
    assert ids() == set()


def test_demo_is_refused_without_debug_and_away_from_loopback(settings) -> None:
    settings.CHATHISTORY_DEMO, settings.DEBUG = True, False
    assert ids() == {"chathistory.E001"}
    settings.DEBUG, settings.ALLOWED_HOSTS = True, ["example.org"]
    assert ids() == {"chathistory.E001"}
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
    assert ids() == set()


@pytest.mark.parametrize("value", [0, -1, "many", None])
def test_a_limit_that_is_no_number_is_named(settings, value: object) -> None:
    settings.CHATHISTORY_MAX_TITLE_LENGTH = value
    found = [one for one in run_checks() if one.id == "chathistory.E002"]
    assert [one for one in found if "MAX_TITLE_LENGTH" in one.msg]


@pytest.mark.parametrize("value", ["/nowhere", ["/nowhere"], 5])
def test_fonts_that_are_nowhere_are_named(settings, value: object) -> None:
    settings.CHATHISTORY_PDF_FONT_PATHS = value
    assert ids() == {"chathistory.E007"}


def test_a_workflow_whose_responder_is_missing_is_named(settings) -> None:
    settings.CHATHISTORY_WORKFLOWS = {"x": {"label": "X", "responder": "nowhere.at_all"}}
    assert ids() == {"chathistory.W004"}


def test_another_master_key_is_refused_by_its_id_and_nothing_is_written(settings) -> None:
    accounts.of(get_user_model().objects.create_user("alice"))
    settings.CHATHISTORY_MASTER_KEYS = [("other", b"k" * 32)]
    keyring.forget()
    with pytest.raises(ImproperlyConfigured, match=r"chathistory\.E004: Master key '[0-9a-f]{8}'"):
        startup.verify()
    stranger = get_user_model().objects.create_user("bob")
    with pytest.raises(Exception, match="Master key"):
        accounts.of(stranger)
    assert Account.objects.count() == 1


def test_a_missing_key_file_is_refused_and_not_made_anew(settings, tmp_path: Path) -> None:
    accounts.of(get_user_model().objects.create_user("alice"))
    settings.CHATHISTORY_HOME = tmp_path
    keyring.forget()
    with pytest.raises(ImproperlyConfigured, match="no master key file"):
        startup.verify()
    assert not list(tmp_path.rglob("*"))
