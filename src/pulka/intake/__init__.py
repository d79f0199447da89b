"""From wire bytes to acknowledged batches, one protocol per method of `Intake`.

In: request bodies, as they came over HTTP or gRPC. Out: event batches in the journal, and an `Outcome` for the sender.
Guarantees: what it reports as stored is durable, a retry stores nothing, memory is bounded by settings in bytes.
Never: makes a Python object per event, or knows who reads the journal.
"""

from pulka.intake.admit import Admission, Claim
from pulka.intake.dedup import DedupWindow
from pulka.intake.ingest import Intake, Outcome, Sample
from pulka.intake.options import IngestOptions, IntakeSettings

__all__ = ["Admission", "Claim", "DedupWindow", "IngestOptions", "Intake", "IntakeSettings", "Outcome", "Sample"]
