"""The durable log of acknowledged batches: `wal.WalJournal` on files, `memory.MemoryJournal` without.

In: event batches, appended by intake. Out: the same batches in order, per partition, to the writer.
Guarantees: what `append` returned for is on disk; damage is cut, quarantined and reported, never skipped in silence.
Never: looks into a batch, forgets a record before `release`, or grows past its settings.
"""
