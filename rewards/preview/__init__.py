"""What would a program have done? Replays the shop's own history under a draft, and writes nothing."""

from rewards.preview.report import PreviewReport
from rewards.preview.running import LARGE, QUICK, replay

__all__ = ["LARGE", "QUICK", "PreviewReport", "replay"]
