"""The installed version: part of every report's identity."""

import importlib.metadata
from typing import Final

VERSION: Final = importlib.metadata.version("gradient-health")
