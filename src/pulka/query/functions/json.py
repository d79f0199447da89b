"""`json(field, 'a.b[0]')`: a value within JSON text, such as a field with an array or of mixed content. The macro's name; here `json_get`."""

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["json_get"]


def json_get(texts: pa.Array, paths: pa.Array) -> pa.Array:
    """Per row the value at the path as text; null where the text is no JSON or has no such value. ValueError when the path is none."""
    from pulka._native import json_get as native  # only queries that ask for it need the native part

    distinct = pc.unique(paths.cast(pa.string())).to_pylist()
    if len(distinct) == 1:  # nearly always a literal, which comes repeated for every row
        return pa.nulls(len(texts), pa.string()) if distinct[0] is None else native(texts, distinct[0])
    rows = [pa.nulls(1, pa.string()) if path is None else native(texts[row : row + 1], path) for row, path in enumerate(paths.to_pylist())]
    return pa.concat_arrays(rows) if rows else pa.nulls(0, pa.string())
