"""The Rust core. Every function releases the GIL while it works; Arrow data crosses without copies.

Layout of the batches: `docs/design/event-batch.md`. Errors: `ValueError` for bytes that are wrong as a whole (its message
is fit for a user), `OSError` for the disk.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import final

import pyarrow as pa

__version__: str

@final
class DecodeOptions:
    """What the decoders must know besides the bytes. Immutable, cheap to share."""

    def __init__(
        self,
        *,
        timestamp_fields: Sequence[str] = ...,
        # Source path -> path, applied before anything else.
        rename: Mapping[str, str] = ...,
        # Path -> text value given to every event that lacks the path.
        constants: Mapping[str, str] = ...,
        # Well-known path -> type (pulka.model.tables).
        declared: Mapping[str, str] = ...,
        # Paths whose text holds a JSON object: it is parsed and its members take the event's top level (or stays text when broken).
        json_fields: Sequence[str] = ...,
        event_bytes_max: int = 16 << 20,
        field_bytes_max: int = 1 << 20,
        depth_max: int = 32,
        columns_max: int = 1000,
        rows_max: int = 1 << 20,
        dense_share: float = 0.01,
    ) -> None: ...

@final
class Decoded:
    """The outcome of one body. Every item is either a row of `batch` or counted in `rejected`."""

    batch: pa.RecordBatch | None
    rows: int
    rejected: int
    reasons: dict[str, int]
    """Rejected items by reason: broken_json, not_an_object, too_deep, event_too_large, broken_csv, broken_protobuf, ..."""
    samples: list[tuple[int, str, str]]
    """At most 100 rejected items: line (or item) number from 1, reason, one sentence of detail without the payload."""
    warnings: dict[str, int]
    """Kept but touched: bad_utf8, duplicate_key, field_truncated, timestamp_missing, timestamp_out_of_range, timestamp_unreadable."""
    all_timestamped: bool
    """Every event carried its own time: the body's digest may serve as its dedup key."""

def decompress(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """gzip, zstd, deflate or identity. OverflowError past `limit_bytes`, ValueError on broken data."""

def fingerprint(names: Sequence[str], body: bytes) -> str:
    """128 bits over the names and the body, as 32 hexadecimal digits."""

def decode_json(body: bytes, arrival_ns: int, options: DecodeOptions, first_line: int = 1) -> Decoded:
    """NDJSON, a JSON array of objects, or concatenated objects (told apart by the first byte)."""

def decode_csv(body: bytes, arrival_ns: int, options: DecodeOptions, header: Sequence[str] | None = None, first_line: int = 1) -> Decoded:
    """RFC 4180 with a header line, unless `header` is given. Cells that look like whole numbers, floats and true/false get that type; empty cells are absent."""

def decode_otlp(body: bytes, signal: str, encoding: str, arrival_ns: int, options: DecodeOptions) -> Decoded:
    """An OTLP Export*ServiceRequest; signal `logs`, `traces` or `metrics`, encoding `protobuf` or `json`."""

def residual_get(residual: pa.Array, path: str, kind: str) -> pa.Array:
    """The values of one field out of a residual column: exact values of type `kind`, null where absent or of another type.
    With kind `text`, any value as SQL text."""

def text_words(text: str) -> list[str]:
    """The words of a text, as filters and searches know them: runs of letters and digits without case (crates/pulka-core/src/text/words.rs)."""

def whole_words(pieces: Sequence[str]) -> list[str]:
    """Words of any text that has `pieces` in this order with anything between them (as LIKE, split at its wildcards): those that touch no gap. For tests."""

def regex_literals(expression: str, ignore_case: bool) -> list[list[tuple[str, bool]]]:
    """What every text has that a regular expression matches: of each clause at least one (text, in any case)."""

def normalize(batches: Sequence[pa.RecordBatch], declared: Mapping[str, str], columns_max: int = 1000, dense_share: float = 0.01) -> pa.RecordBatch:
    """Concatenate batches of any schemas into one: union of the columns, density decided anew, types kept."""

def write_fragment(
    batches: Sequence[pa.RecordBatch],
    path: str,
    *,
    declared: Mapping[str, str],
    sort: Sequence[str],
    bloom: Sequence[str],
    metadata: Mapping[str, str],
    row_group_bytes: int = 32 << 20,
    zstd_level: int = 3,
    columns_max: int = 1000,
    dense_share: float = 0.01,
) -> str:
    """Sort and write one fragment to a new file, fsynced. Returns the fragment's description as JSON:
    {rows, bytes, raw_bytes, min_ns, max_ns, columns: [{name, path, type, nulls, min, max, values?, automaton?: {regex, exact, states},
    words?}], residual: {path: [types]}}; `states` and `words` are base64, for `automata_match` and `word_filters_match`.
    The same JSON is in the footer as `pulka.fragment`, beside every item of `metadata`."""

@final
class Cancel:
    """Stops the merges that were given it, from any thread."""

    def __init__(self) -> None: ...
    def cancel(self) -> None: ...
    @property
    def cancelled(self) -> bool: ...

class Cancelled(Exception):
    """A merge was stopped by its `Cancel`; none of its files is left."""

def merge_fragments(
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    declared: Mapping[str, str],
    sort: Sequence[str],
    bloom: Sequence[str],
    metadata: Mapping[str, str],
    row_group_bytes: int = 32 << 20,
    zstd_level: int = 3,
    columns_max: int = 1000,
    dense_share: float = 0.01,
    memory_bytes: int = 128 << 20,
    output_rows: int = 0,
    # Per input the rows to leave out (true), or None.
    drop: Sequence[pa.BooleanArray | None] | None = None,
    cancel: Cancel | None = None,
) -> list[str]:
    """Merge sorted fragments (local files) into new sorted ones, fsynced: paths of `outputs`, in order, as many as are needed.

    Returns their descriptions, as `write_fragment` does: 1 to len(outputs), none when every row is dropped. With `output_rows` the next output
    begins once the current one has that many rows and the leading sort key (all sort columns but a last `timestamp`) changes, so
    outputs are disjoint in that key; the last one takes the rest. Each footer has `metadata`, `pulka.id` (the stem of its path)
    and `pulka.outputs` (a JSON list of the stems of all outputs written). A merge that fails leaves no file.

    Takes about `memory_bytes`, whatever the rows, but at least `row_group_bytes`, and per input three of its largest values and half a
    megabyte. Nameless scratch files beside the first output take up to the size of the inputs where fields move between columns and residual.
    Raises Cancelled soon after `cancel.cancel()`."""

def inspect_fragment(path: str, verify: bool = False) -> dict[str, str]:
    """Footer key-values of a fragment. With `verify`, also decode every page and check row count, sort order and statistics; ValueError says what is wrong."""

def matching_row_groups(path: str, column: str, words: Sequence[str]) -> list[int]:
    """Row groups of a fragment that may have a row whose physical column `column` has all of `words` (texts are taken apart
    into words), by the word filters in the file; all row groups when it has none for the column. For tests."""

def values_match(values: Sequence[Sequence[str]], patterns: Sequence[Sequence[str]], ignore_case: bool) -> list[bool]:
    """Of each list of values, whether one of them matches one of the patterns. A pattern is LIKE's, split at its wildcards."""

def automata_match(automata: Sequence[bytes], patterns: Sequence[Sequence[str]], ignore_case: bool) -> list[bool]:
    """Of each packed automaton, whether it takes a text that one of the patterns matches."""

def word_filters_match(filters: Sequence[bytes], patterns: Sequence[Sequence[str]]) -> list[bool]:
    """Of each word filter, whether it has all whole words of one of the patterns."""

def automaton(values: Sequence[str], transitions_max: int = 256) -> bytes:
    """The packed trimmed automaton of some texts; empty when it would take any text."""

def automaton_regex(automaton: bytes) -> str:
    """The anchored regular expression that takes the same texts."""

def journal_encode(sequence: int, tenant: str, table: str, arrival_ns: int, batch: pa.RecordBatch, dedup_key: str | None, ack: bytes) -> bytes:
    """One framed journal record: magic, lengths, CRC32C, header, Arrow IPC (lz4)."""

def journal_scan(data: bytes, offset: int = 0) -> tuple[list[tuple[int, int, int]], int, str]:
    """Walk the frames of a segment: ([(sequence, offset, length)], offset after the last good frame, what ended the walk:
    "" at the exact end, "torn" when the rest is an incomplete or zero tail, "corrupt" when it is damaged otherwise)."""

def journal_resync(data: bytes, offset: int) -> int:
    """Offset of the first good frame behind the bad one at `offset`; the length of the data when there is none."""

def journal_decode(frame: bytes) -> tuple[int, str, str, int, pa.RecordBatch, str | None, bytes]:
    """Inverse of journal_encode; ValueError when the checksum or the format is wrong."""

@final
class Search:
    """Finds the rows of fragments that a few simple conditions allow; runs once.

    A request is (file, columns to return, conditions), a condition (column, test, operand), all of which must hold:
    `text` with any of [(how, text)], how being equals, starts_with, contains or contains_ignore_case; `integers` (also times,
    ns) and `floats` with (low, high), both included; `null` with a bool. Rows that fail a condition may come too, all others do.
    """

    def __init__(
        self,
        requests: Sequence[tuple[str, Sequence[str], Sequence[tuple[str, str, object]]]],
        *,
        # Decoded bytes of the rows found; more end the search.
        bytes_max: int,
        threads: int,
    ) -> None: ...
    def run(self) -> Found: ...
    def cancel(self) -> None:
        """End a `run` in another thread soon."""

@final
class Counts:
    """Counts the rows of fragments: those that are alike in all keys, and pass all tests, become one; runs once.

    A request is (file, keys, witnesses, tests, conditions). A key is (column, what makes values alike, operand): `equal`; of integers and times
    `every` so many; of floats `floor` of the quotient by a number, or `about` the same. Tests are (column, test, operand), to the letter:
    `equals`, `starts_with`, `ends_with`, `contains` any of some texts, `regex` and `regex_ignore_case`, `integers` in any of some ranges, both
    bounds included, in order; `<`, `<=`, `=`, `>=`, `>` of floats in total order; `null` with a bool. A witness is a column of which any value
    will do that passes. Conditions are those of a `Search`, and true of all rows that pass. ValueError for what is none of these.
    """

    def __init__(
        self,
        requests: Sequence[
            tuple[str, Sequence[tuple[str, str, object]], Sequence[str], Sequence[tuple[str, str, object]], Sequence[tuple[str, str, object]]]
        ],
        *,
        # Bytes of what is found; more end the count.
        bytes_max: int,
        threads: int,
    ) -> None: ...
    def run(self) -> Found:
        """Batches of keys, witnesses and last the counts, `\x1frows`; None when too few rows are alike."""
    def cancel(self) -> None:
        """End a `run` in another thread soon."""

@final
class Found:
    """What a search found. `batches` are in the order of the requests: None when there were too many rows, or when it was cancelled."""

    batches: list[list[pa.RecordBatch]] | None
    cancelled: bool
    row_groups: int
    pruned: dict[str, int]
    """Row groups left out, by what: min_max, bloom, pages."""
    rows: int
    bytes_read: int

# The agent on a Linux host (crates/pulka-probe). Absent elsewhere.

@final
class EdgeFeature:
    """A group of BPF programs: `works` is True, False or None (could not tell), with the reason."""

    name: str
    purpose: str
    needs: str
    required: bool
    works: bool | None
    reason: str
    way: str
    """Where it works by one of several ways: by which, and why not by the better one."""

@final
class EdgeProcess:
    """What names a process: of its environment only the variables that do."""

    pid: int
    exe: str
    argv: list[str]
    env: dict[str, str]
    cgroup: str
    cwd: str

    def __init__(
        self, *, pid: int = 0, exe: str = "", argv: Sequence[str] = (), env: Mapping[str, str] = ..., cgroup: str = "", cwd: str = ""
    ) -> None: ...

@final
class EdgeExemplar:
    """One transaction, as an example of its row. Unix times in ns."""

    start_ns: int
    end_ns: int
    error: str | None
    attributes: list[tuple[str, str]]

@final
class EdgeRow:
    """Transactions of one service that are alike. Durations in seconds, as an exponential histogram: scale, offset, counts, zeros."""

    service: str
    is_client: bool
    tls: bool
    peer: str
    address: str
    own_address: str
    port: int
    protocol: str
    operation: str
    target: str
    status: str
    error: str | None
    count: int
    sum: float
    min: float
    max: float
    scale: int
    offset: int
    counts: list[int]
    zeros: int
    one_way: int
    request_bytes: int
    response_bytes: int
    p50: float
    p99: float
    exemplars: list[EdgeExemplar]

@final
class EdgeStatus:
    """What the agent says of itself; `shares`: of one core, by feature, in the last sample."""

    features: list[EdgeFeature]
    shares: list[float] | None
    drops: dict[str, int]
    counters: dict[str, int]
    connections: int

@final
class EdgeAgent:
    """Attached from the moment it exists until `stop()` or the end of the process. OSError: this machine lacks what it needs."""

    def __init__(
        self,
        programs: bytes,
        *,
        burst_bytes: int,
        head_bytes: int,
        ring_bytes: int,
        connections_max: int,
        keys_max: int,
        held_bytes_max: int,
        idle_s: float,
        poll_ms: int,
        cpu_share: float,
        without: Sequence[str],
    ) -> None: ...
    def processes(self) -> list[EdgeProcess]:
        """Those seen for the first time since the last call."""

    def listeners(self) -> list[tuple[int, int]]:
        """(port, pid) of TCP sockets that listen."""

    def reap(self) -> list[int]:
        """Pids that are gone; they are forgotten."""

    def report(self, names: Callable[[], Mapping[int, str]]) -> list[EdgeRow]:
        """What was counted since the last call, by the services of `names` (pid -> service), which is asked once that is taken: `processes` has told of
        all who are in it. A pid without a name is the service ``""``."""

    def opaque(self) -> list[tuple[int, str, int]]:
        """(pid, reason, connections) that show nothing, since the last call."""

    def libraries(self) -> list[tuple[str, list[str], str]]:
        """Files that were looked at for TLS: path, functions that are probed, why not."""

    def status(self) -> EdgeStatus: ...
    def tap(self) -> None:
        """Begin to write down what is seen (at most 64 MB): payloads too, so on request only. For tests and recordings."""

    def tapped(self) -> bytes:
        """What was written down; ends the recording. For `edge_replay`."""

    def pause(self, paused: bool) -> None:
        """Let everything pass unseen, without detaching; or see again."""

    def stop(self) -> None:
        """Detach everything."""

def edge_replay(recording: bytes, *, connections_max: int = 65_536, keys_max: int = 10_000, held_bytes_max: int = 67_108_864) -> list[EdgeRow]:
    """What a recording of `EdgeAgent.tap` tells, counted as the agent does; services are numbers of processes. For tests and recordings."""

def edge_examine(programs: bytes) -> list[EdgeFeature]:
    """Which features would work here: every program is loaded, none attached."""

def edge_process(pid: int) -> EdgeProcess | None:
    """What /proc tells of a process; None when it is gone."""
def edge_protocols() -> list[tuple[str, str, str, str]]:
    """Protocols that the edge decodes: (name, title, versions, what is shown)."""

@final
class Capture:
    """A capture file, pushed in pieces. Transactions are counted into `red` as they are found.

    Batch of transactions: timestamp (ns, UTC), connection u64, protocol, client, server (address:port), initiator (client, server,
    client one-way, server one-way), operation, target?, status?, error?, duration_s? (not of one-way messages), first_byte_s?,
    request_bytes, response_bytes, attributes map<string, string>. Batch of ended connections: connection u64, transport (tcp, udp),
    client, server, protocol?, opaque? (why nothing was read), transactions u64, bytes u64.
    """

    def __init__(self, *, connections_max: int, memory_bytes_max: int, keys_max: int) -> None: ...
    def push(self, data: bytes) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        """The next piece: transactions and connections that ended. ValueError when the file is no capture."""

    def finish(self) -> tuple[pa.RecordBatch, pa.RecordBatch, bool]:
        """The file is over: the rest, and whether it ended within a packet."""

    def red(self) -> pa.RecordBatch:
        """protocol, server?, operation, target?, status?, error?, count, p50_s?, p95_s?, p99_s?, max_s?, request_bytes, response_bytes."""

    def counts(self) -> tuple[int, int, int, int]:
        """Packets, packets passed over, connections evicted, bytes missing."""

@final
class ValueShare:
    """One value of a field, None for rows without it: counts on either side, and how far its shares differ beyond error."""

    value: str | None
    counts: tuple[int, int]
    difference: float

@final
class Numbers:
    """The numbers of a field; pairs are (first side, second side), quantiles are of 0.5, 0.9, 0.95 and 0.99."""

    min: float
    max: float
    counts: tuple[int, int]
    means: tuple[float | None, float | None]
    quantiles: tuple[list[float] | None, list[float] | None]
    distance: float
    relative_error: float
    follows_time: bool

@final
class Finding:
    """A field in all rows, or in those of one group."""

    field: str
    group: str | None
    types: list[str]
    effect: float
    by_numbers: bool
    rows: tuple[int, int]
    present: tuple[int, int]
    values: list[ValueShare]
    exact: bool
    distinct: int | None
    numbers: Numbers | None

@final
class Summary:
    """The values of every field on two sides, in bounded memory (crates/pulka-core/src/summary)."""

    def __init__(
        self, *, bytes_max: int, by: str | None = None, groups_max: int = 256, skip: Sequence[str] = (), masked: Sequence[str] = ()
    ) -> None: ...
    def add(self, batch: pa.RecordBatch, columns: Sequence[tuple[str, str, str]], residual: str | None, sides: Sequence[str]) -> None:
        """`columns` are (name in the batch, path, type); `sides` names the two boolean columns that say which rows are on which side."""

    @property
    def rows(self) -> tuple[int, int]: ...
    @property
    def left_out(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    def compare(self, limit: int, values_max: int) -> list[Finding]:
        """Fields that differ, the largest effect first."""

    def describe(self, values_max: int) -> list[Finding]:
        """All fields, by name."""

@final
class Quantiles:
    """A mergeable sketch of numbers (DDSketch with uniform collapse). ValueError when `merge` is given something else."""

    def __init__(self) -> None: ...
    def add(self, values: pa.Array) -> None: ...
    def add_exponential(self, scales: pa.Array, zeros: pa.Array, offsets: pa.Array, counts: pa.Array) -> None:
        """Count OTLP's exponential histograms: int64, and `counts` as the text of JSON arrays."""

    def merge(self, state: bytes) -> None: ...
    def state(self) -> bytes: ...
    def quantile(self, q: float) -> float | None: ...
    @property
    def count(self) -> int: ...
    @property
    def relative_error(self) -> float: ...

@final
class Patterns:
    """Templates of messages (crates/pulka-core/src/patterns)."""

    def __init__(self, templates_max: int) -> None: ...
    def add(self, messages: pa.Array) -> None: ...
    def merge(self, state: bytes) -> None: ...
    def state(self) -> bytes: ...
    def templates(self) -> list[tuple[str, int, str]]:
        """(template, count, first message), the most frequent first."""

def json_get(texts: pa.Array, path: str) -> pa.Array:
    """Per row the value at `a.b[0]` of JSON text, as text; null where there is none. ValueError when the path is none."""

def mask_texts(texts: pa.Array, bytes_max: int) -> pa.Array:
    """Per row the text with `<*>` in place of words that have digits."""
