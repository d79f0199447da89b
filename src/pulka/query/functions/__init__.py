"""What SQL can say here beside DataFusion's own functions.

Two kinds: macros, which become other SQL before anything is planned, so that pruning sees through them and the engine's own
operators run them; and functions over Arrow arrays, whose work is done by the core.
"""

from pulka.query.functions.macros import Surroundings, expand
from pulka.query.functions.registry import register

__all__ = ["Surroundings", "expand", "register"]
