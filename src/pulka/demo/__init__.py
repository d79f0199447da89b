"""A small shop of real services that emit OpenTelemetry logs, traces and metrics, with a fault that comes and goes.

In: nothing. Out: telemetry to an OTLP endpoint on loopback.
Guarantees: ends when its parent ends.
Never: imports Pulka; it knows the OpenTelemetry SDK only, as a user's services do.
"""
