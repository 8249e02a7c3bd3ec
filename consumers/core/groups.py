"""How much is written in one transaction, and in how many transactions at once?

Both follow what was measured: a database with a vector index takes ten times as long for a row as one without, and on
one disk or core more transactions are slower from some number on.
"""

TARGET_S = 0.5
"""What a transaction should take at most: documents wait for their whole group, and so does a drain."""
FIXED_SHARE = 0.2
"""But what it costs whatever is in it, such as the wait for a disk or a replica, is to be no more than this of it."""
LEAST_ROWS = 32
MOST_ROWS = 2_000
MEMORY = 0.95
"""How much of what was known counts beside one more measurement."""

TRIAL_S = 2.0
TRIAL_GROUPS = 8
REST_S = 30.0
GAIN = 1.05
"""So much more a second one more transaction has to bring; one fewer must cost nothing."""


class GroupSize:
    """Rows of one transaction: what fits into TARGET_S by a line through sizes and seconds of those before."""

    __slots__ = ("_n", "_x", "_xx", "_xy", "_y", "rows")

    def __init__(self) -> None:
        """Begin with the largest."""
        self.rows = MOST_ROWS
        self._n = self._x = self._y = self._xx = self._xy = 0.0

    def __repr__(self) -> str:
        return f"<GroupSize {self.rows} rows>"

    def wrote(self, rows: int, seconds: float) -> None:
        """Note that a transaction of so many rows took so long."""
        self._n = MEMORY * self._n + 1.0
        self._x = MEMORY * self._x + rows
        self._y = MEMORY * self._y + seconds
        self._xx = MEMORY * self._xx + rows * rows
        self._xy = MEMORY * self._xy + rows * seconds
        fixed, each = self._line()
        if each > 0.0:
            wanted = max(TARGET_S - fixed, fixed * (1.0 / FIXED_SHARE - 1.0))
            self.rows = int(min(max(wanted / each, LEAST_ROWS), MOST_ROWS))

    def _line(self) -> tuple[float, float]:
        """Return the seconds of an empty transaction and of each row; neither is ever negative."""
        n, x, y = self._n, self._x, self._y
        spread = n * self._xx - x * x
        if spread > 1e-3 * x * x:
            each = (n * self._xy - x * y) / spread
            fixed = (y - each * x) / n
            if each > 0.0 and fixed > 0.0:
                return fixed, each
        return 0.0, y / x


class Writers:
    """Transactions at once, between 1 and *most*: one more or one fewer is tried, and kept where it pays.

    What is compared is rows a second while rows were always waiting; without a backlog there is nothing to gain.
    """

    __slots__ = ("_before", "_groups", "_resting_until", "_rows", "_since", "_step", "_usual", "count", "most")

    def __init__(self, most: int, now: float) -> None:
        """Begin with two, as far as *most* allows: one is prepared while the other waits for the disk."""
        self.most = most
        self.count = self._usual = min(2, most)
        self._step = 1
        self._before: float | None = None
        self._resting_until = now
        self._begin(now)

    def __repr__(self) -> str:
        return f"<Writers {self.count} of {self.most}>"

    def starved(self, now: float) -> None:
        """Note that nothing waits to be written: what was measured since the last decision says nothing."""
        self.count, self._before = self._usual, None
        self._begin(now)

    def wrote(self, rows: int, now: float) -> None:
        """Note rows of a transaction that has ended while others wait."""
        self._rows += rows
        self._groups += 1
        took = now - self._since
        if now < self._resting_until:
            self._begin(now)
        elif took >= TRIAL_S and self._groups >= TRIAL_GROUPS:
            self._decide(self._rows / took, now)
            self._begin(now)

    def _decide(self, rate: float, now: float) -> None:
        if self._before is None:
            self._try(rate, now)
            return
        before, self._before = self._before, None
        if rate > before * (GAIN if self._step > 0 else 1.0):
            self._usual = self.count
        else:
            self.count = self._usual
            self._step = -self._step
            self._resting_until = now + REST_S

    def _try(self, rate: float, now: float) -> None:
        if not 1 <= self._usual + self._step <= self.most:
            self._step = -self._step
        tried = self._usual + self._step
        if not 1 <= tried <= self.most:
            self._resting_until = now + REST_S
            return
        self._before = rate
        self.count = tried

    def _begin(self, now: float) -> None:
        self._since, self._rows, self._groups = now, 0, 0
