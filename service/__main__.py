"""`python -m service`: the command line."""

from service.cli import app

app()
