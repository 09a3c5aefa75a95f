"""Chat history for Django: stored, sealed, searched."""

__version__ = "0.1.0"
