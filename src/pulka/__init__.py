"""Pulka, an open observability lake.

In: telemetry from shippers, agents and files. Out: answers in SQL, and Parquet files any tool can read.
Guarantees: what was acknowledged is durable, visible within a second, exactly once, to its own tenant only.
Never: keeps data in a format only Pulka can read.
"""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("pulka")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"
