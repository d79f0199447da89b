"""What runs on a host: sees every service that talks over the network, without touching it.

In: what the probes and `/proc` of this machine tell (or a capture file), and a few settings with units. Out: rates, errors and durations per service, operation
and peer, as OpenTelemetry metrics and sampled spans, through a spool on disk to any OTLP receiver. Guarantees: traffic is never changed or
held up; memory, disk and processor time are bounded; whatever is dropped or cannot be seen is counted with its reason; the end of the
process leaves nothing attached. Never: imports the lake (store, query), keeps payloads, or guesses a name without saying from where.
"""
