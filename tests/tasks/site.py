"""The settings of sites that tests start: the usual ones, in a hurry, with kinds of their own."""

from __future__ import annotations

import os

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.tasks.apps.KindsConfig"]
CHATHISTORY_JOB_LEASE = int(os.environ["TEST_JOB_LEASE"])
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CHATHISTORY_MAX_JOBS = 100_000  # one person asks for all of them
