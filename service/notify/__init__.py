"""Whoever asked for it is told when an analysis has ended: open `webhooks` first."""
