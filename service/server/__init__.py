"""uvicorn with limits.

Open `protocol` for what a connection may do, `server` for how it starts and stops, `listener` for where it listens.
"""
