"""Uploads, reports and repaired models, by sha256: `blob` is what is promised, `folder` one way to keep it.

`place` says which of them a database has.
"""
