"""What lies beside the repository, and may not be there."""

from pathlib import Path
from typing import Final

SHARED: Final = Path(__file__).parents[2] / "shared"
