/* SPDX-License-Identifier: GPL-2.0 */
/* Plaintext of TLS: what a library is handed to write, and what it gives back from a read.
 *
 * A call is remembered by thread at its entry and told of at its return, when it is known how much was taken. Which connection it
 * belongs to needs no offsets into the library's structs. A socket that is used within the call is the one. A library that works on
 * memory (asyncio, Node.js) uses none: then a read belongs to the socket the thread received from last, and a write to the one it
 * sends on next, which is told as a binding once it happens. */
#pragma once
#include "maps.h"

/* x86-64's, as the programs get them. Others have no program of this group yet. */
struct registers {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

/* What the probed function is, in the cookie of its probe: bit 0: it writes; bits 1-2: how it tells the number of bytes (Rust
 * returns a tag, 0 when it went well, and the number); bit 3: its buffer is a table of buffers; bit 4: its first argument points to the
 * pointer to the session. */
enum { TLS_WRITES = 1, TLS_RETURNS = 0, TLS_FOURTH = 2, TLS_FIFTH = 4, TLS_RUST = 6, TLS_TOLD = 6, TLS_TABLE = 8, TLS_INDIRECT = 16 };

struct buffer {
	u64 data;
	u64 length;
};

/* Of a table of buffers. */
#define TLS_BUFFERS_MAX 8

struct call {
	u64 session; /* the library's object for a connection */
	u64 buffer;
	u64 told;   /* where the number of bytes will be */
	u64 nested; /* cookie of the socket that was used meanwhile */
	u32 what;
	u32 asked;
};

struct session_key {
	u64 session;
	u32 tgid;
	u32 unused;
};

struct session {
	u64 conn;
	u32 sequence[2];
	u32 uses_sockets; /* a socket was used within a call: the thread's other sockets say nothing about it */
	u32 unused;
};

struct received {
	u64 conn;
	u32 fresh;
	u32 unused;
};

struct {
	MAP_INT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_INT(max_entries, 4096);
	MAP_TYPE(key, u64);
	MAP_TYPE(value, struct call);
} tls_calls SEC(".maps");

struct {
	MAP_INT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_INT(max_entries, 16384);
	MAP_TYPE(key, struct session_key);
	MAP_TYPE(value, struct session);
} tls_sessions SEC(".maps");

struct {
	MAP_INT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_INT(max_entries, 4096);
	MAP_TYPE(key, u64);
	MAP_TYPE(value, struct received);
} tls_received SEC(".maps");

/* By connection, so that the end of one is the end of what its session is known for: the next session may have the same address. */
struct {
	MAP_INT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_INT(max_entries, 16384);
	MAP_TYPE(key, u64);
	MAP_TYPE(value, struct session_key);
} tls_bound SEC(".maps");

/* Sessions that wrote to memory and whose socket the thread will use next. */
struct {
	MAP_INT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_INT(max_entries, 4096);
	MAP_TYPE(key, u64);
	MAP_TYPE(value, struct session_key);
} tls_sending SEC(".maps");

struct plaintext_record {
	struct head head;
	u32 sequence;
	u32 length;
	u32 tgid;
	u32 unused;
	u64 session;
};

INLINE void bind(u64 conn, struct session_key *key, struct control *set)
{
	struct plaintext_record *record = bpf_ringbuf_reserve(&ring, sizeof *record, 0);
	if (!record) {
		dropped(DROP_RING);
		return;
	}
	__builtin_memset(record, 0, sizeof *record);
	record->head.kind = KIND_BIND;
	record->head.conn = conn;
	record->head.ts_ns = bpf_ktime_get_ns();
	record->tgid = key->tgid;
	record->session = key->session;
	bpf_ringbuf_submit(record, wake(set));
}

INLINE void tls_bind(struct session *session, struct session_key *key, u64 conn)
{
	if (session->conn == conn)
		return;
	session->conn = conn;
	bpf_map_update_elem(&tls_bound, &conn, key, 0);
}

/* A connection ends. Numbers go on: what the session's next connection brings must not look like a repetition. */
INLINE void tls_unbind(u64 conn)
{
	struct session_key *bound = bpf_map_lookup_elem(&tls_bound, &conn);
	if (!bound)
		return;
	struct session_key key = *bound;
	struct session *session = bpf_map_lookup_elem(&tls_sessions, &key);
	if (session && session->conn == conn) {
		session->conn = 0;
		session->uses_sockets = 0;
	}
	bpf_map_delete_elem(&tls_bound, &conn);
}

/* A socket that carries TLS is used by this thread. */
INLINE void tls_used(u64 cookie, u8 direction, struct control *set)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct call *call = bpf_map_lookup_elem(&tls_calls, &thread);
	if (call) {
		call->nested = cookie;
		return;
	}
	if (direction == INGRESS) {
		struct received received = { .conn = cookie, .fresh = 1 };
		bpf_map_update_elem(&tls_received, &thread, &received, 0);
		return;
	}
	struct session_key *waiting = bpf_map_lookup_elem(&tls_sending, &thread);
	if (!waiting)
		return;
	struct session_key key = *waiting;
	struct session *session = bpf_map_lookup_elem(&tls_sessions, &key);
	if (session)
		tls_bind(session, &key, cookie);
	bind(cookie, &key, set);
	bpf_map_delete_elem(&tls_sending, &thread);
}

#define PLAINTEXT(room)                                                                                                  \
	struct plaintext_##room {                                                                                        \
		struct plaintext_record fixed;                                                                           \
		u8 data[room];                                                                                           \
	};                                                                                                               \
	INLINE int tell_##room(struct plaintext_record *fixed, u32 sequence, u32 length, u64 from, u32 captured, u64 flags) \
	{                                                                                                                \
		struct plaintext_##room *record = bpf_ringbuf_reserve(&ring, sizeof *record, 0);                         \
		if (!record) {                                                                                           \
			dropped(DROP_RING);                                                                              \
			return 0;                                                                                        \
		}                                                                                                        \
		record->fixed = *fixed;                                                                                  \
		record->fixed.sequence = sequence;                                                                       \
		record->fixed.length = length;                                                                           \
		record->fixed.head.captured = captured;                                                                  \
		UNKNOWN(captured);                                                                                       \
		if (captured == 0 || captured > room || bpf_probe_read_user(record->data, captured, (void *)from)) {     \
			dropped(DROP_COPY);                                                                              \
			bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);                                                   \
			return 0;                                                                                        \
		}                                                                                                        \
		bpf_ringbuf_submit(record, flags);                                                                       \
		return 1;                                                                                                \
	}

PLAINTEXT(200)
PLAINTEXT(968)
PLAINTEXT(4040)

/* A TLS record holds 16 KB. */
#define PLAINTEXT_PIECES 5

INLINE void tell(struct plaintext_record *fixed, u64 from, u32 length, struct control *set)
{
	u64 flags = wake(set);
	u32 captured = length < PLAINTEXT_PIECES * 4040 ? length : PLAINTEXT_PIECES * 4040;
	if (captured <= 200) {
		tell_200(fixed, fixed->sequence, length, from, captured, flags);
		return;
	}
	if (captured <= 968) {
		tell_968(fixed, fixed->sequence, length, from, captured, flags);
		return;
	}
	for (u32 done = 0; done < PLAINTEXT_PIECES * 4040; done += 4040) {
		if (captured <= done + 4040) {
			tell_4040(fixed, fixed->sequence + done, length - done, from + done, captured - done, flags);
			return;
		}
		if (!tell_4040(fixed, fixed->sequence + done, 4040, from + done, 4040, flags))
			return;
	}
}

INLINE struct session *session_of(struct session_key *key)
{
	struct session *session = bpf_map_lookup_elem(&tls_sessions, key);
	if (session)
		return session;
	struct session fresh = {};
	bpf_map_update_elem(&tls_sessions, key, &fresh, 0);
	return bpf_map_lookup_elem(&tls_sessions, key);
}

/* One piece of plaintext, of a connection that may not be known yet. */
INLINE void told(struct session *session, struct session_key *key, u64 conn, u8 direction, u64 buffer, u32 length, struct control *set)
{
	struct plaintext_record fixed = {};
	fixed.head.kind = KIND_TLS;
	fixed.head.direction = direction;
	fixed.head.conn = conn;
	fixed.head.ts_ns = bpf_ktime_get_ns();
	fixed.tgid = key->tgid;
	fixed.session = key->session;
	fixed.sequence = session->sequence[direction & 1];
	session->sequence[direction & 1] += length;
	tell(&fixed, buffer, length, set);
}

INLINE void told_table(struct session *session, struct session_key *key, u64 conn, u8 direction, struct call *call, u32 length, struct control *set)
{
	for (u32 index = 0; index < TLS_BUFFERS_MAX && index < call->asked && length > 0; index++) {
		struct buffer buffer = {};
		if (bpf_probe_read_user(&buffer, sizeof buffer, (void *)(call->buffer + index * sizeof buffer)))
			return;
		u32 part = buffer.length < length ? buffer.length : length;
		if (part)
			told(session, key, conn, direction, buffer.data, part, set);
		length -= part;
	}
}

/* What a call wrote or read, of the connection it used, or the one its thread uses before or after. */
INLINE void tls_piece(struct call *call, u64 thread, u32 length, struct control *set)
{
	u8 direction = call->what & TLS_WRITES ? EGRESS : INGRESS;
	struct session_key key = { .session = call->session, .tgid = thread >> 32 };
	struct session *session = session_of(&key);
	if (!session)
		return;
	u64 conn = call->nested;
	if (conn) {
		tls_bind(session, &key, conn);
		session->uses_sockets = 1;
	} else if (session->uses_sockets) {
		conn = session->conn; /* of a record that an earlier call has received */
	} else if (direction == INGRESS) {
		struct received *received = bpf_map_lookup_elem(&tls_received, &thread);
		if (received && received->fresh) {
			received->fresh = 0;
			tls_bind(session, &key, received->conn);
		}
		conn = session->conn;
	} else {
		bpf_map_update_elem(&tls_sending, &thread, &key, 0);
	}
	if (call->what & TLS_TABLE)
		told_table(session, &key, conn, direction, call, length, set);
	else
		told(session, &key, conn, direction, call->buffer, length, set);
}

SEC("uprobe") int tls_enter(struct registers *registers)
{
	struct control *set = control();
	if (!set || set->paused)
		return 0;
	u64 thread = bpf_get_current_pid_tgid();
	if (thread >> 32 == set->self_tgid)
		return 0;
	u32 what = bpf_get_attach_cookie(registers);
	struct call call = { .session = registers->di, .buffer = registers->si, .asked = registers->dx, .what = what };
	u64 fourth = registers->cx, fifth = registers->r8; /* both are read: the verifier takes no computed offset into registers */
	UNKNOWN(fourth);
	UNKNOWN(fifth);
	call.told = what & TLS_FIFTH ? fifth : fourth;
	if (what & TLS_INDIRECT && bpf_probe_read_user(&call.session, sizeof call.session, (void *)registers->di))
		return 0;
	bpf_map_update_elem(&tls_calls, &thread, &call, 0);
	return 0;
}

SEC("uretprobe") int tls_exit(struct registers *registers)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct call *found = bpf_map_lookup_elem(&tls_calls, &thread);
	struct control *set = control();
	if (!found || !set)
		return 0;
	struct call call = *found;
	bpf_map_delete_elem(&tls_calls, &thread);
	s64 length = (s32)registers->ax;
	if ((call.what & TLS_TOLD) == TLS_RUST) {
		if ((u32)registers->ax)
			return 0;
		length = registers->dx;
	} else if (call.what & TLS_TOLD) {
		u64 told = 0;
		if (length != 1 || bpf_probe_read_user(&told, sizeof told, (void *)call.told))
			return 0;
		length = told;
	}
	if (length <= 0 || length > 1 << 30)
		return 0;
	tls_piece(&call, thread, length, set);
	return 0;
}

/* rustls lends what it has decrypted (`into_first_chunk`: a slice, returned in memory, without an address when there is none), and is then
 * told how much of it was taken. */
SEC("uretprobe") int rust_chunk(struct registers *registers)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct control *set = control();
	if (!set || set->paused || thread >> 32 == set->self_tgid)
		return 0;
	struct call call = {};
	if (bpf_probe_read_user(&call.buffer, sizeof call.buffer, (void *)registers->ax) || !call.buffer)
		return 0;
	bpf_map_update_elem(&tls_calls, &thread, &call, 0);
	return 0;
}

SEC("uprobe") int rust_consume(struct registers *registers)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct call *found = bpf_map_lookup_elem(&tls_calls, &thread);
	struct control *set = control();
	if (!found || !set)
		return 0;
	struct call call = { .session = registers->di, .buffer = found->buffer };
	bpf_map_delete_elem(&tls_calls, &thread);
	s64 length = registers->si;
	if (length > 0 && length <= 1 << 30)
		tls_piece(&call, thread, length, set);
	return 0;
}
