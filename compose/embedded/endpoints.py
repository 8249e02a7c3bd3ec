"""Where does a running stack answer?"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Endpoints:
    """The addresses of a running stack.

    ``dsn`` suits asyncpg and psql alike and holds the database's password, ``base_url`` ends in ``/v1``. The address
    of a part that was never started is empty.
    """

    bootstrap_servers: str
    dsn: str = field(repr=False)
    base_url: str
    model: str
    dimensions: int
