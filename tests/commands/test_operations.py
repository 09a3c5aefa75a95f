"""The commands of docs/operations.md and of the README's drill do what they say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.founding.site import ROOT, Site

pytestmark = pytest.mark.timeout(300)

SAY = """
from django.contrib.auth.models import User
from chathistory.actions import messages, sessions
user = User.objects.create_user("alice")
for n in range(3):
    session = sessions.create(user, "tutor", title=f"Chat {n}")
    for said in ("How does a heron fish?", "It waits."):
        messages.append(session, user, "user", said)
"""
COUNT = "from chathistory.models import Message; print(Message.objects.count())"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site in which alice has said something."""
    made = Site(tmp_path / "home")
    made.prepare()
    made.manage("shell", "--no-imports", "-c", SAY)
    return made


def blocks(document: str) -> list[str]:
    text = (ROOT / document).read_text("utf-8")
    return re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)


def run(site: Site, script: str) -> str:
    """Run a script as an operator would, in the site's folder."""
    path = f"{Path(sys.executable).parent}:{site.environment['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=site.environment | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_operations_from_top_to_bottom(site: Site) -> None:
    script = "".join(blocks("docs/operations.md"))
    said = run(site, script + 'echo "DRILL=$drill"\n')
    assert "are whole." in said
    assert "would be dropped." in said
    reports = [json.loads(one) for one in re.findall(r"^\{$.*?^\}$", said, re.M | re.S)]
    assert len(reports) == 6
    assert all(one["errors"] == [] for one in reports)
    drill = Path(re.findall(r"^DRILL=(.*)$", said, re.M)[0])
    chats = json.loads((drill / "alice.json").read_text("utf-8"))
    assert sum(len(one["messages"]) for one in chats["sessions"]) == 6
    assert site.manage("shell", "--no-imports", "-c", COUNT) == "6"


def test_the_readmes_drill(site: Site) -> None:
    (block,) = [one for one in blocks("README.md") if "chat_restore" in one]
    assert len(block.splitlines()) == 5
    # The moment it names is any one; here, now.
    now = "$(date --utc +%Y-%m-%dT%H:%M:%SZ)"
    script = block.replace("2026-11-23T09:30", now).replace("manage.py", "python manage.py")
    run(site, re.sub(r"(\s+# the whole)", r" --yes\1", script))
    assert site.manage("shell", "--no-imports", "-c", COUNT) == "6"
