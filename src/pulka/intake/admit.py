"""Admission: one budget of bytes for all bodies that are being read or decoded. Over it, the sender waits, not we."""

from types import TracebackType

from pulka.errors import Temporary, TooLarge

__all__ = ["Admission", "Claim"]


class Claim:
    """A share of the budget; given back when its `with` block ends."""

    def __init__(self, admission: "Admission") -> None:
        self._admission = admission
        self.bytes = 0

    def grow(self, size: int) -> None:
        """Take `size` more bytes. Temporary when the budget has no room, TooLarge when it never will."""
        self._admission._take(size, self.bytes + size)
        self.bytes += size

    def __enter__(self) -> "Claim":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admission.inflight_bytes -= self.bytes
        self.bytes = 0


class Admission:
    """The budget itself. Belongs to one event loop: nothing here awaits, so nothing here locks."""

    def __init__(self, inflight_bytes_max: int, retry_after_s: float = 1.0) -> None:
        self.inflight_bytes_max = inflight_bytes_max
        self.inflight_bytes = 0
        self.refused = 0
        self._retry_after_s = retry_after_s

    def claim(self, size: int = 0) -> Claim:
        """A claim of `size` bytes, to be used as a context manager."""
        claim = Claim(self)
        claim.grow(size)
        return claim

    def _take(self, size: int, wanted: int) -> None:
        if wanted > self.inflight_bytes_max:
            raise TooLarge(
                f"one body needs {wanted} bytes and inflight_bytes_max is {self.inflight_bytes_max}",
                hint="send less at once, or raise inflight_bytes_max",
            )
        if self.inflight_bytes + size > self.inflight_bytes_max:
            self.refused += 1
            raise Temporary(
                "too many bytes are being taken in at once; nothing of this request was stored",
                hint="send the same again after the given time, or raise inflight_bytes_max",
                retry_after_s=self._retry_after_s,
            )
        self.inflight_bytes += size
