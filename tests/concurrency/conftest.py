"""These tests end in the invariants that stand beside the state machine, and serve as the tests of the API do."""

import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent
sys.path[:0] = [str(TESTS / name) for name in ("properties", "api") if str(TESTS / name) not in sys.path]
