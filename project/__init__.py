"""The standalone site. The app in `chathistory/` knows nothing of it."""

from .celery import app as celery_app

__all__ = ["celery_app"]
