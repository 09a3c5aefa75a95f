"""The standalone site's settings, every one of them from the environment.

CHATHISTORY_HOME    folder of everything the site writes (./var)
DATABASE_URL        postgres://… or sqlite:///… (db.sqlite3 in that folder)
REDIS_URL           redis://… or unix://…, moves the broker and the cache there
SECRET_KEY          else made at the first run and kept in that folder
DEBUG               1 or 0 (0)
HTTPS               whether browsers reach the site by https (1 unless DEBUG)
ALLOWED_HOSTS, CSRF_TRUSTED_ORIGINS    comma-separated
SESSION_COOKIE_NAME, LOG_LEVEL         (sessionid, INFO)
CHATHISTORY_CACHE   chat_file or chat_redis: where processes share opened pages (nowhere)
CHATHISTORY_BACKUP_STORAGE    s3://bucket/prefix?endpoint_url=… (backups in that folder)
CHATHISTORY_SHIP_SECONDS      between two segments of the shipper (10)
CHATHISTORY_DEMO    1 lets anyone on this machine sign in as `demo` (0)
"""

from __future__ import annotations

import os
from pathlib import Path

from csp.constants import NONE, SELF

from . import environ
from .workflows import WORKFLOWS

BASE_DIR = Path(__file__).resolve().parent.parent

CHATHISTORY_HOME = environ.folder(
    Path(os.environ.get("CHATHISTORY_HOME") or BASE_DIR / "var").resolve()
)
CHATHISTORY_DEMO = environ.flag("CHATHISTORY_DEMO")
CHATHISTORY_WORKFLOWS = WORKFLOWS

DEBUG = environ.flag("DEBUG")
HTTPS = environ.flag("HTTPS", default=not DEBUG)
SECRET_KEY = os.environ.get("SECRET_KEY") or environ.kept_secret(CHATHISTORY_HOME / "secret_key")
ALLOWED_HOSTS = environ.words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = environ.words("CSRF_TRUSTED_ORIGINS")
REDIS_URL = os.environ.get("REDIS_URL", "")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "chathistory.apps.ChatHistoryConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
ASGI_APPLICATION = "project.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates", BASE_DIR / "project" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# The rows

DATABASES = {
    "default": (
        environ.database(os.environ["DATABASE_URL"])
        if os.environ.get("DATABASE_URL")
        else environ.sqlite(CHATHISTORY_HOME / "db.sqlite3")
    ),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {
    "default": environ.cache(REDIS_URL),
    **environ.page_caches(REDIS_URL, CHATHISTORY_HOME / "cache"),
}
CHATHISTORY_CACHE = os.environ.get("CHATHISTORY_CACHE", "")

# Backups

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
if os.environ.get("CHATHISTORY_BACKUP_STORAGE"):
    STORAGES["chathistory_backups"] = environ.backup_storage(
        os.environ["CHATHISTORY_BACKUP_STORAGE"]
    )
CHATHISTORY_SHIP_SECONDS = float(os.environ.get("CHATHISTORY_SHIP_SECONDS", "10"))

# Requests

# A message of 2,000,000 characters that are all escaped. Imports have a limit of their own.
DATA_UPLOAD_MAX_MEMORY_SIZE = 32 * 2**20
# No upload ever lies in a temporary file, in the clear; imports that are larger are sealed.
FILE_UPLOAD_MAX_MEMORY_SIZE = DATA_UPLOAD_MAX_MEMORY_SIZE
FILE_UPLOAD_TEMP_DIR = str(environ.folder(CHATHISTORY_HOME / "tmp"))

REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Chat history",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# Static files, from the source folders: nothing has to be collected.

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static", BASE_DIR / "project" / "static"]
WHITENOISE_USE_FINDERS = True

# Who may come in

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/chat/"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 30 * 24 * 3600 if HTTPS else 0
# Cookies know no port: two sites on one host would sign each other's people out.
SESSION_COOKIE_NAME = os.environ.get("SESSION_COOKIE_NAME", "sessionid")
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}

# Language and time

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

# Tasks. A broker message is a hint, the Job row is the truth: a worker that dies loses nothing.

CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_RESULT_EXPIRES = None
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# One task at a time in one process: the pool of processes that a broker of files gets waits behind
# one lock, which a child that is killed takes with it for good. Start as many workers as wanted.
CELERY_WORKER_POOL = "solo"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = TIME_ZONE
# No CELERY_BEAT_SCHEDULE: it would overwrite, at each start, what was edited in the admin.
CELERY_BEAT_SCHEDULER = "chathistory.tasks.scheduler:Scheduler"
_broker = environ.broker(REDIS_URL, CHATHISTORY_HOME / "broker")
CELERY_BROKER_URL = _broker["broker_url"]
CELERY_BROKER_TRANSPORT = _broker["broker_transport"]
CELERY_BROKER_TRANSPORT_OPTIONS = _broker["broker_transport_options"]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {
            "()": "project.logs.ContentFreeFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        },
    },
    "filters": {"withhold": {"()": "project.logs.WithholdArguments"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": os.environ.get("LOG_LEVEL", "INFO")},
    # Django would add handlers of its own, one of which mails whole requests.
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "celery.app.trace": {"filters": ["withhold"]},
    },
}
