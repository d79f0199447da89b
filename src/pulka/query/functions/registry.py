"""The functions of every session, made once."""

import pyarrow as pa
from datafusion import SessionContext, udaf, udf

from pulka.query.functions.cidr import cidr_match
from pulka.query.functions.histograms import HISTOGRAMS, fold_histograms
from pulka.query.functions.json import json_get
from pulka.query.functions.patterns import TEMPLATES, FoundPatterns, shape
from pulka.query.functions.percentile import Merged, Sketch, sketch_quantile

__all__ = ["register"]

_TEXT = pa.string_view()
_SCALARS = (
    cidr_match,
    udf(fold_histograms, [HISTOGRAMS], pa.binary(), "immutable", "fold_histograms"),
    udf(json_get, [_TEXT, _TEXT], pa.string(), "immutable", "json_get"),
    udf(shape, [_TEXT], pa.string(), "immutable", "pattern"),
    udf(sketch_quantile, [pa.binary(), pa.float64()], pa.float64(), "immutable", "sketch_quantile"),
)
_AGGREGATES = (
    udaf(FoundPatterns, [_TEXT], TEMPLATES, [pa.binary()], "immutable", "patterns"),
    udaf(Sketch, [pa.float64()], pa.binary(), [pa.binary()], "immutable", "quantile_sketch"),
    udaf(Merged, [pa.binary()], pa.binary(), [pa.binary()], "immutable", "merge_sketches"),
)


def register(session: SessionContext) -> None:
    """Give a session all of them."""
    for scalar in _SCALARS:
        session.register_udf(scalar)
    for aggregate in _AGGREGATES:
        session.register_udaf(aggregate)
