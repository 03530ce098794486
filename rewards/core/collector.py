"""The garbage collector, told what a long-running process is like."""

import gc


def tune_for_batches() -> None:
    """Spare the collector what it would find over and over to be no garbage.

    A batch allocates thousands of short-lived objects that reference counting frees; with Python's defaults each
    batch would set off several walks over everything that the process has loaded. What is there now is left out of
    the walks for good, and the walks come after more allocations.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
