"""The built wheel in an empty host site: it installs nothing twice and its pages open."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SITE = """
import sys
from pathlib import Path
from django.conf import settings
HERE = Path(__file__).parent
settings.configure(
    SECRET_KEY="x", DEBUG=False, ALLOWED_HOSTS=["testserver"], ROOT_URLCONF=__name__, USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": HERE / "db.sqlite3"}},
    CHATHISTORY_HOME=HERE / "home", STATIC_URL="static/", LOGIN_URL="/in/",
    CHATHISTORY_WORKFLOWS={"helpdesk": {"label": "Helpdesk"}},
    INSTALLED_APPS=[
        "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
        "django.contrib.sessions", "django.contrib.messages", "django.contrib.staticfiles",
        "rest_framework", "django_filters", "chathistory",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
        "OPTIONS": {"context_processors": [
            "django.template.context_processors.request",
            "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages"]}}],
)
import django
django.setup()
from django.contrib import admin
from django.urls import include, path
urlpatterns = [
    path("", include("chathistory.urls")),
    path("api/chat_history/", include("chathistory.api.urls")),
    path("admin/", admin.site.urls),
]
import chathistory
assert Path(chathistory.__file__).is_relative_to(sys.argv[1]), chathistory.__file__
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client
call_command("migrate", verbosity=0)
client = Client()
client.force_login(User.objects.create_superuser("alice"))
said = client.post("/api/chat_history/sessions", {"workflow_type": "helpdesk"},
                   content_type="application/json")
assert said.status_code == 201, said.content
API = "/api/chat_history/sessions"
for page in ("/chat/", "/chat/history/", "/admin/chathistory/session/", API):
    answer = client.get(page)
    assert answer.status_code == 200, (page, answer.status_code)
styles = finders.find("chathistory/css") or finders.find("chathistory")
assert styles and str(styles).startswith(sys.argv[1]), styles
print("all open")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_templates_static_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.startswith("chathistory/templates/chathistory/") for name in names)
    assert any(name.startswith("chathistory/static/chathistory/") for name in names)
    assert any(name.startswith("chathistory/migrations/0001") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "project/", "benchmarks/"))]


def test_an_empty_host_site_adds_the_app_and_opens_its_pages(wheel: Path, tmp_path: Path) -> None:
    installed, site = tmp_path / "installed", tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*pip, str(installed), str(wheel)], check=True, capture_output=True)
    site.mkdir()
    (site / "host.py").write_text(SITE)
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("CHATHISTORY", "DJANGO"))
    }
    environment |= {"PYTHONPATH": str(installed)}
    ran = subprocess.run(
        [sys.executable, "host.py", str(installed)],
        cwd=site,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.strip().endswith("all open"), ran.stdout + ran.stderr
