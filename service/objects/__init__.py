"""Uploads, reports and repaired models, by sha256: open `blob` for what is promised, `folder` for how it is kept."""
