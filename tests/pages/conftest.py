"""Sample programs, and the oracle's, stand beside other tests."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / name) for name in ("program", "properties") if str(TESTS / name) not in sys.path]
