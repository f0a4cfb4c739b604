"""`gradient-health serve`: the HTTP service with its embedded supervisor."""

from pathlib import Path
from typing import Annotated

import typer


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where jobs, uploads and reports are kept.")] = None,
) -> None:
    """Serve the API until interrupted."""
    from service.cli._serving import serve_until_interrupted  # noqa: PLC0415 - half a second that no other command needs

    serve_until_interrupted(host=host, port=port, data_dir=data_dir)
