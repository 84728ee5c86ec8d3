"""Which of an environment's runtimes is meant: each that is started ends once, and may do so late. Pure."""


class RuntimeStarts:
    """Counts runtimes and their ends. Where there are extensions, a runtime begins after they have
    registered, or never does."""

    def __init__(self, *, waits_for_extensions: bool) -> None:
        self.generation = 1
        self.has_begun = not waits_for_extensions
        """This generation's runtime was told to start."""
        self.is_alive = self.has_begun
        self._waits = waits_for_extensions
        self._ends_seen = 0

    def anew(self) -> None:
        """Another runtime is to be started."""
        self.generation += 1
        self.has_begun = not self._waits

    def started(self) -> None:
        """The sandbox is told so."""
        self.is_alive = self.has_begun

    def begun(self) -> None:
        """Extensions have registered: the runtime starts."""
        self.has_begun = self.is_alive = True

    def ended(self) -> bool:
        """A runtime has ended; False when an earlier one is meant, whose end means nothing any more."""
        self._ends_seen += 1
        if self._ends_seen < self.generation:
            return False
        self.is_alive = False
        return True

    def killed(self) -> None:
        """All that runs is about to be killed: a runtime that has not begun will have no end."""
        if not self.has_begun:
            self._ends_seen += 1
            self.has_begun = True

    def skipped(self) -> None:
        """It was not started after all: nobody waits for it any longer."""
        if not self._waits:
            self._ends_seen += 1
