"""Uploads, reports and repaired models, by sha256: open `folder` first."""
