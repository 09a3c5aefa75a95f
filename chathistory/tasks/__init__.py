"""Celery tasks: doors that call one verb each."""
