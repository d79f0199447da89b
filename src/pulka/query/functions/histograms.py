"""`merge_histograms(scale, zero_count, positive_offset, positive_counts)`: OTLP's exponential histograms as one sketch.

The engine gathers them by group and the core folds each group at once: an aggregate of our own would be called for every group of every batch,
which takes ten times as long for the edges of a map.
"""

import pyarrow as pa

from pulka.errors import BadQuery

__all__ = ["HISTOGRAMS", "fold_histograms", "merge_histograms"]

_FIELDS = {"scale": "BIGINT", "zeros": "BIGINT", "positive_offset": "BIGINT", "counts": "VARCHAR"}
_USAGE = "merge_histograms(scale, zero_count, positive_offset, positive_counts)"
HISTOGRAMS = pa.list_(pa.struct([(name, pa.string_view() if kind == "VARCHAR" else pa.int64()) for name, kind in _FIELDS.items()]))


def merge_histograms(given: list[str]) -> str:
    """The gathering and the folding as SQL."""
    if len(given) != len(_FIELDS):
        raise BadQuery("merge_histograms takes the four fields of an exponential histogram", hint=f"as in {_USAGE}")
    fields = ", ".join(f"'{name}', CAST({sql} AS {kind})" for (name, kind), sql in zip(_FIELDS.items(), given, strict=True))
    return f"fold_histograms(array_agg(named_struct({fields})))"


def fold_histograms(gathered: pa.Array) -> pa.Array:
    """Per list of histograms its sketch; rows without a scale are no histograms."""
    from pulka._native import Quantiles  # only queries with histograms need the native part

    scales, zeros, offsets, counts = gathered.values.flatten()
    counts = counts.cast(pa.string())
    bounds = gathered.offsets.to_pylist()
    found = []
    for start, end, given in zip(bounds, bounds[1:], gathered.is_valid().to_pylist(), strict=False):
        sketch = Quantiles()
        sketch.add_exponential(scales[start:end], zeros[start:end], offsets[start:end], counts[start:end])
        found.append(sketch.state() if given and sketch.count else None)
    return pa.array(found, pa.binary())
