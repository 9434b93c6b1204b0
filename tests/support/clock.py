"""A clock that tests move."""


class ManualClock:
    """Stands still until told otherwise; the three timelines move together or one by one. All values are seconds."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.wall = now
        self.skipped = 0.0
        self.monotonic = 5_000.0

    def now(self) -> float:
        return self.wall

    def scheduler(self) -> float:
        return self.monotonic + self.skipped

    def steady(self) -> float:
        return self.monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass, on every timeline."""
        self.wall += seconds
        self.monotonic += seconds

    def set_wall(self, now: float) -> None:
        """What ``setmocktime`` does; may go back."""
        self.wall = now

    def advance_steady(self, seconds: float) -> None:
        """Let real time pass while the wall clock is frozen."""
        self.monotonic += seconds

    def skip(self, seconds: float) -> None:
        """What ``mockscheduler`` does."""
        self.skipped += seconds
