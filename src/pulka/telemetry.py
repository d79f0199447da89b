"""What Pulka tells of itself: counters, gauges and histograms, printed in the Prometheus text format.

Our own, because the client library's process-wide registry would make two servers in one process share their numbers.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate

__all__ = ["CONTENT_TYPE", "Counter", "Histogram", "Registry"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_Labels = tuple[str, ...]


class Counter:
    """A number per combination of label values that only grows."""

    kind = "counter"

    def __init__(self, name: str, labels: _Labels) -> None:
        self._name, self._labels = name, labels
        self._values: dict[_Labels, float] = {} if labels else {(): 0}
        self._lock = threading.Lock()

    def add(self, amount: float = 1, *labels: str) -> None:
        """Grow the number at these label values; callable from any thread."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + amount

    def value(self, *labels: str) -> float:
        """The number at these label values."""
        return self._values.get(labels, 0)

    def lines(self) -> Iterator[str]:
        """Its samples in the text format."""
        for labels, value in sorted(self._values.items()):
            yield f"{self._name}{_braces(self._labels, labels)} {_number(value)}"


class Gauge:
    """A number per combination of label values that is asked for when it is printed."""

    kind = "gauge"

    def __init__(self, name: str, labels: _Labels, read: Callable[[], Mapping[_Labels, float]]) -> None:
        self._name, self._labels, self._read = name, labels, read

    def lines(self) -> Iterator[str]:
        """Its samples in the text format."""
        for labels, value in sorted(self._read().items()):
            yield f"{self._name}{_braces(self._labels, labels)} {_number(value)}"


class Histogram:
    """Counts of observations at most as large as each bound, per combination of label values."""

    kind = "histogram"

    def __init__(self, name: str, labels: _Labels, bounds: Sequence[float]) -> None:
        self._name, self._labels, self._bounds = name, labels, tuple(bounds)
        self._counts: dict[_Labels, list[int]] = {}
        self._sums: dict[_Labels, float] = {}
        self._lock = threading.Lock()

    def observe(self, value: float, *labels: str) -> None:
        """Count one observation; callable from any thread."""
        with self._lock:
            counts = self._counts.setdefault(labels, [0] * (len(self._bounds) + 1))
            counts[bisect_left(self._bounds, value)] += 1
            self._sums[labels] = self._sums.get(labels, 0.0) + value

    def lines(self) -> Iterator[str]:
        """Its samples in the text format: cumulative buckets, sum and count."""
        bounds = [_number(bound) for bound in self._bounds] + ["+Inf"]
        for labels, counts in sorted(self._counts.items()):
            for bound, count in zip(bounds, accumulate(counts), strict=True):
                yield f"{self._name}_bucket{_braces((*self._labels, 'le'), (*labels, bound))} {count}"
            yield f"{self._name}_sum{_braces(self._labels, labels)} {_number(self._sums[labels])}"
            yield f"{self._name}_count{_braces(self._labels, labels)} {sum(counts)}"


class Registry:
    """All metrics of one server. Asking for a name again gives the same metric."""

    def __init__(self) -> None:
        self._metrics: dict[str, tuple[str, Counter | Gauge | Histogram]] = {}

    def counter(self, name: str, sentence: str, *labels: str) -> Counter:
        """A counter; names end in `_total`."""
        metric = self._metrics.setdefault(name, (sentence, Counter(name, labels)))[1]
        assert isinstance(metric, Counter)
        return metric

    def gauge(self, name: str, sentence: str, read: Callable[[], float]) -> None:
        """A gauge; the last `read` given for a name counts."""
        self.gauges(name, sentence, lambda: {(): read()})

    def gauges(self, name: str, sentence: str, read: Callable[[], Mapping[_Labels, float]], *labels: str) -> None:
        """A gauge per combination of the values of `labels`."""
        self._metrics[name] = (sentence, Gauge(name, labels, read))

    def histogram(self, name: str, sentence: str, *labels: str, bounds: Sequence[float] = SECONDS) -> Histogram:
        """A histogram; names end in their unit."""
        metric = self._metrics.setdefault(name, (sentence, Histogram(name, labels, bounds)))[1]
        assert isinstance(metric, Histogram)
        return metric

    def render(self) -> str:
        """Everything in the Prometheus text format (version 0.0.4)."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        for name, (sentence, metric) in sorted(self._metrics.items()):
            yield f"# HELP {name} {sentence}."
            yield f"# TYPE {name} {metric.kind}"
            yield from metric.lines()


def _braces(names: _Labels, values: _Labels) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
