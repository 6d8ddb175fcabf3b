"""Unit tests, natively: `python3 -m unittest` in the project's folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
