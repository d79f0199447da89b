"""A market of real services that nobody has instrumented: what the agent is for.

In: a port and a directory. Out: services in several languages with a steady small load, as far as this machine has what they need.
Guarantees: whatever is missing here is left out with a sentence; all of it ends when its input does, or its parent.
Never: imports Pulka, sends telemetry, or asks for anything to be installed.
"""
