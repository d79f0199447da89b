"""The way in: decompress, decode, append, answer. Bytes are worked on in threads, because the Rust core releases the GIL."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Literal, TypeVar

import msgspec

from pulka import _native
from pulka._native import Decoded, DecodeOptions
from pulka.errors import BadInput, TooLarge
from pulka.intake.admit import Admission, Claim
from pulka.intake.dedup import DedupWindow
from pulka.intake.options import IngestOptions, IntakeSettings, decode_options
from pulka.seams import Clock, Journal
from pulka.telemetry import Registry

__all__ = ["OTLP_TABLES", "Intake", "Outcome", "Sample", "Signal", "Wire"]

Signal = Literal["logs", "traces", "metrics"]
Wire = Literal["protobuf", "json"]
OTLP_TABLES: dict[Signal, str] = {"logs": "logs", "traces": "spans", "metrics": "metrics"}

_KEY_CHARS_MAX = 255
_PLAIN = ("", "identity")
_T = TypeVar("_T")
_Decode = Callable[[bytes, int, DecodeOptions], Decoded]


class Sample(msgspec.Struct, frozen=True):
    """One rejected item: its line or item number from 1, and why; never what it said."""

    item: int
    reason: str
    detail: str


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one body. Every item is a stored row or counted in `rejected`."""

    rows: int
    rejected: int
    reasons: dict[str, int] = {}
    samples: list[Sample] = []
    warnings: dict[str, int] = {}
    duplicate: bool = False
    """An earlier attempt stored this body and this is what it was answered."""

    def ack(self) -> bytes:
        """The JSON that answers this body now and on every retry."""
        return msgspec.json.encode(msgspec.structs.replace(self, duplicate=False))


class Intake:
    """Bodies in, acknowledged batches out. `dedup.recover(catalog, journal)` must have run before the first body."""

    def __init__(
        self, journal: Journal, clock: Clock, settings: IntakeSettings | None = None, metrics: Registry | None = None
    ) -> None:
        self.settings = settings or IntakeSettings()
        self.admission = Admission(self.settings.inflight_bytes_max)
        self.dedup = DedupWindow(clock, self.settings.dedup_window_s, self.settings.dedup_bytes_max)
        self._journal = journal
        self._clock = clock
        self._threads = ThreadPoolExecutor(self.settings.decode_threads, thread_name_prefix="pulka-decode")
        self._options = lru_cache(256)(lambda table, options: decode_options(table, options, self.settings))
        self._counters = _Counters(metrics or Registry(), self.admission, self.dedup)

    async def json(
        self,
        tenant: str,
        table: str,
        body: bytes,
        encoding: str = "",
        idempotency_key: str | None = None,
        options: IngestOptions = IngestOptions(),  # noqa: B008 - frozen
    ) -> Outcome:
        """NDJSON, a JSON array of objects, or concatenated objects."""
        return await self._take("json", tenant, table, body, encoding, idempotency_key, options, _native.decode_json)

    async def csv(
        self,
        tenant: str,
        table: str,
        body: bytes,
        encoding: str = "",
        idempotency_key: str | None = None,
        options: IngestOptions = IngestOptions(),  # noqa: B008 - frozen
    ) -> Outcome:
        """RFC 4180 with a header line."""
        return await self._take("csv", tenant, table, body, encoding, idempotency_key, options, _native.decode_csv)

    async def otlp(
        self,
        tenant: str,
        signal: Signal,
        wire: Wire,
        body: bytes,
        encoding: str = "",
        idempotency_key: str | None = None,
    ) -> Outcome:
        """An OTLP Export*ServiceRequest of `signal`, as protobuf or JSON."""

        def decode(body: bytes, arrival_ns: int, options: DecodeOptions) -> Decoded:
            decoded = _native.decode_otlp(body, signal, wire, arrival_ns, options)
            if not decoded.rows and decoded.reasons.keys() & {"broken_json", "broken_protobuf"}:
                raise ValueError(f"the body is not an OTLP {signal} request in {wire}")
            return decoded

        table = OTLP_TABLES[signal]
        return await self._take("otlp", tenant, table, body, encoding, idempotency_key, IngestOptions(), decode)

    async def close(self) -> None:
        """Wait for bodies being decoded; the journal is the caller's to close."""
        await asyncio.to_thread(self._threads.shutdown)

    async def _take(
        self,
        protocol: str,
        tenant: str,
        table: str,
        body: bytes,
        encoding: str,
        client_key: str | None,
        options: IngestOptions,
        decode: _Decode,
    ) -> Outcome:
        decoder_options = self._options(table, options)  # first of all: it refuses bad table names

        # Options count, because the same bytes under other names are other events.
        identity = None if client_key is not None else (protocol, tenant, table, repr(options))

        async def attempt() -> Outcome:
            with self.admission.claim(len(body)) as claim:
                plain = await self._plain(body, encoding, claim)
                decoded, body_key = await self._decoded(decode, plain, decoder_options, identity)
                self._counters.taken(protocol, len(plain), decoded)
                if client_key is not None:
                    return await self._store(tenant, table, decoded, _client_key(client_key))
                if body_key is None:
                    return await self._store(tenant, table, decoded, None)
                return await self._once(tenant, table, body_key, lambda: self._store(tenant, table, decoded, body_key))

        if client_key is None:
            return await attempt()
        return await self._once(tenant, table, _client_key(client_key), attempt)

    async def _once(
        self, tenant: str, table: str, key: str, attempt: Callable[[], Coroutine[Any, Any, Outcome]]
    ) -> Outcome:
        async def acknowledged() -> bytes:
            return (await attempt()).ack()

        ack, duplicate = await self.dedup.once(tenant, table, key, acknowledged)
        self._counters.duplicates.add(duplicate)
        return msgspec.structs.replace(
            msgspec.json.decode(ack or b'{"rows":0,"rejected":0}', type=Outcome), duplicate=duplicate
        )

    async def _plain(self, body: bytes, encoding: str, claim: Claim) -> bytes:
        if encoding in _PLAIN:
            return body
        limit = self.settings.body_bytes_max
        try:
            plain = await self._in_thread(_native.decompress, body, encoding, limit)
        except OverflowError:
            raise TooLarge(
                f"the body is larger than {limit} bytes when decompressed",
                hint="send less at once, or raise body_bytes_max",
            ) from None
        except ValueError as error:
            raise BadInput(
                str(error), hint="send gzip, zstd, deflate or identity and name it in Content-Encoding"
            ) from None
        claim.grow(len(plain))
        return plain

    async def _decoded(
        self, decode: _Decode, plain: bytes, options: DecodeOptions, identity: tuple[str, ...] | None
    ) -> tuple[Decoded, str | None]:
        """The events, and the key made of the body when one is wanted (`identity`) and may be had."""
        arrival_ns = self._clock.now_ns()

        def work() -> tuple[Decoded, str | None]:
            decoded = decode(plain, arrival_ns, options)
            keyed = identity is not None and decoded.all_timestamped and decoded.rows > 0
            return decoded, f"body:{_native.fingerprint(identity or (), plain)}" if keyed else None

        try:
            return await self._in_thread(work)
        except ValueError as error:
            raise BadInput(str(error), hint="send the format that Content-Type names") from None

    async def _store(self, tenant: str, table: str, decoded: Decoded, key: str | None) -> Outcome:
        outcome = _outcome(decoded)
        batch = decoded.batch  # once: every look at it crosses from Rust
        if batch is not None and decoded.rows:
            await self._journal.append(tenant, table, batch, dedup_key=key, ack=outcome.ack() if key else b"")
        return outcome

    async def _in_thread(self, work: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


class _Counters:
    """What intake tells of itself in /metrics."""

    def __init__(self, metrics: Registry, admission: Admission, dedup: DedupWindow) -> None:
        self._bytes = metrics.counter("pulka_intake_bytes_total", "Decompressed bytes decoded", "protocol")
        self._rows = metrics.counter("pulka_intake_rows_total", "Events decoded", "protocol")
        self._rejected = metrics.counter(
            "pulka_intake_rejected_total", "Items rejected, by reason", "protocol", "reason"
        )
        self._warnings = metrics.counter("pulka_intake_warnings_total", "Events kept but touched", "warning")
        self.duplicates = metrics.counter("pulka_intake_duplicates_total", "Bodies answered from the dedup window")
        metrics.gauge("pulka_intake_inflight_bytes", "Bytes being read or decoded", lambda: admission.inflight_bytes)
        metrics.gauge(
            "pulka_intake_refused_bodies",
            "Bodies refused for lack of budget, since the start",
            lambda: admission.refused,
        )
        metrics.gauge("pulka_intake_dedup_bytes", "Memory of the dedup window", lambda: dedup.bytes)

    def taken(self, protocol: str, size: int, decoded: Decoded) -> None:
        self._bytes.add(size, protocol)
        self._rows.add(decoded.rows, protocol)
        for reason, count in decoded.reasons.items():
            self._rejected.add(count, protocol, reason)
        for warning, count in decoded.warnings.items():
            self._warnings.add(count, warning)


def _outcome(decoded: Decoded) -> Outcome:
    samples = [Sample(*sample) for sample in decoded.samples]
    return Outcome(decoded.rows, decoded.rejected, decoded.reasons, samples, decoded.warnings)


def _client_key(key: str) -> str:
    if not 0 < len(key) <= _KEY_CHARS_MAX:
        raise BadInput(
            f"an Idempotency-Key has 1 to {_KEY_CHARS_MAX} characters, not {len(key)}",
            hint="send a shorter key, such as a UUID",
        )
    return f"client:{key}"
