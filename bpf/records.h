/* SPDX-License-Identifier: GPL-2.0 */
/* What crosses into user space, and the state of a connection. crates/pulka-probe/src/wire.rs has the same layouts; native byte order. */
#pragma once
#include "kernel.h"

enum kind { KIND_BYTES = 1, KIND_OPEN = 2, KIND_CLOSE = 3, KIND_OWNER = 4, KIND_DATAGRAM = 5, KIND_TLS = 6, KIND_BIND = 7 };
enum direction { INGRESS = 0, EGRESS = 1 };
enum role { ROLE_UNKNOWN = 0, ROLE_CLIENT = 1, ROLE_SERVER = 2 };

/* Every record begins with this. */
struct head {
	u8 kind;
	u8 direction;
	u8 role;
	u8 flags;
	u32 captured; /* bytes of data that follow the record's fixed part */
	u64 conn;     /* the socket's cookie: unique until the machine boots again */
	u64 ts_ns;    /* CLOCK_MONOTONIC */
};

/* KIND_BYTES. `length` counts what was sent, `captured` what is here. */
struct bytes_record {
	struct head head;
	u32 sequence; /* TCP's */
	u32 length;
};

struct endpoints {
	u8 local[16]; /* IPv4 in the first four bytes */
	u8 remote[16];
	u16 local_port;
	u16 remote_port;
	u16 family;
	u16 protocol;
};

/* KIND_OPEN, KIND_CLOSE, KIND_OWNER, and what the iterator writes. */
struct conn_record {
	struct head head;
	struct endpoints ends;
	u32 tgid; /* 0: not known yet */
	u32 state;
	u32 namespace; /* number of the network's */
	u32 parent;    /* what the process was forked from; 0: it has begun a program of its own */
};

/* KIND_DATAGRAM. The process is that which sends; who receives is told of by what it sends back. */
struct datagram_record {
	struct conn_record conn;
	u8 data[512];
};

/* Per socket; the kernel frees it with the socket, so nothing leaks and nothing is evicted. */
struct conn {
	u64 cookie;
	u32 expected[2]; /* next sequence number, per direction */
	u32 burst;       /* bytes since the direction last changed */
	u32 taken;       /* bytes captured, saturating */
	u32 tgid;
	u32 parent;
	u8 known;        /* bits: direction seen (1, 2), hole seen (4, 8) */
	u8 last;         /* direction of the last data */
	u8 mode;         /* enum mode */
	u8 role;
	u8 own;          /* the agent's */
	u8 tls;          /* its bytes begin as TLS records do */
	u8 sends;        /* only what it sends is captured: its peer is on this machine, and tells the rest */
	u8 records;      /* so far, wrapping */
};

enum mode { MODE_ASK = 0, MODE_KEEP = 1, MODE_IGNORE = 2, MODE_WHOLE = 3, MODE_MASK = 7, MODE_SENDS = 8 };

/* Set by user space; read by every program. */
struct control {
	u32 paused;
	u32 self_tgid;
	u32 burst_bytes; /* captured whole after each change of direction */
	u32 head_bytes;  /* captured of each packet beyond that */
	u32 ask_bytes;   /* captured before a verdict is looked for */
	u32 watermark_bytes;
	u32 first_bytes; /* captured whole of a connection without a verdict */
};

/* What is lost. Not the rest of a long message, which is passed over on purpose: user space knows what a gap costs. */
enum drop { DROP_RING = 0, DROP_STORAGE = 1, DROP_COPY = 2, DROP_COUNT = 8 };
