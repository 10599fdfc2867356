"""The line of waiting jobs: sessions take turns, so a visitor with several jobs does not hold up the others."""

from __future__ import annotations

from liar.errors import QueueFullError
from server.job import Job

WAITING_PER_SESSION = 3


class Line:
    """Line of waiting jobs. Not safe for threads: the queue holds its lock around every call.

    ``waiting`` holds at most ``most`` jobs in their order of arrival; :meth:`order` gives the order in which they run.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.waiting: list[Job] = []
        self._clock = 0
        self._turns: dict[str, int] = {}  # clock at the last turn of each session; the lowest is next

    def check_room(self, session: str) -> None:
        """Raise :class:`QueueFullError` if ``session`` has three jobs waiting, or the line is full."""
        if sum(session in job.owners for job in self.waiting) >= WAITING_PER_SESSION:
            raise QueueFullError(
                f"You have {WAITING_PER_SESSION} jobs waiting, which is the most for one visitor; stop one of them, or try "
                "again when one has started."
            )
        if len(self.waiting) >= self.most:
            raise QueueFullError(
                f"{self.most} jobs are waiting, which is the most that this server takes; try again in a few minutes."
            )

    def enter(self, session: str) -> None:
        """Give a session without waiting jobs its turn: after one job of every session that waits already, and before the
        next job of the session served last.
        """
        if not any(session in job.owners for job in self.waiting):
            self._turns[session] = max(self._turns.get(session, 0), self._clock - 1)

    def order(self) -> list[Job]:
        """The waiting jobs in the order in which they are taken if no job is added."""
        left, turns, clock = list(self.waiting), dict(self._turns), self._clock
        order: list[Job] = []
        while left:
            job = min(left, key=lambda job: min(turns[owner] for owner in job.owners))
            clock += 2  # leaves room for sessions that enter in between
            turns |= dict.fromkeys(job.owners, clock)
            left.remove(job)
            order.append(job)
        return order

    def take(self) -> Job:
        """Remove the next job from the line and return it."""
        job = self.order()[0]
        self.waiting.remove(job)
        self._clock += 2
        in_line = {owner for waiting in self.waiting for owner in waiting.owners}
        self._turns = {session: turn for session, turn in self._turns.items() if session in in_line}
        self._turns |= dict.fromkeys(job.owners, self._clock)
        return job
