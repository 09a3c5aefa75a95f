"""Databases of other programs, read by a bare child process of ours: see ``reading``.

Whatever the child imports stands on the standard library alone.
"""
