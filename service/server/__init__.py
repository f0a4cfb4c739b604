"""uvicorn with limits: open `protocol` for what a connection may do, `server` for how it starts and stops."""
