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

/* Since Linux 6.13 a program of this type whose stack is 64 bytes or more gets one per CPU, which holds for kprobes only: a uprobe may be preempted, and
 * the next one on that CPU writes over it (a kernel that panics under TLS load). A program with a tail call keeps its own. This one is never
 * reached, and the verifier takes it out again. */
#define OWN_STACK __asm__ volatile("r0 = 0\n if r0 == 0 goto +1\n call 12" ::: "r0")

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

/* A thread, from its first use of TLS on: looking it up and changing it in place costs a fifth of putting a call into a map and taking it out again. */
struct thread {
	struct call call;
	u64 within;                 /* the call is under way */
	u64 received;               /* the socket that was received from last, until a read was told to be of it */
	struct session_key sending; /* has written to memory; the socket is the one that the thread uses next */
	u64 sends;
};

struct session {
	u64 conn;
	u32 sequence[2];
	u32 uses_sockets; /* a socket was used within a call: the thread's other sockets say nothing about it */
	u32 probe;        /* of a function that is probed more than once, the one that tells, as long as the process is the same one */
	u64 memory;
};

struct {
	MAP_INT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_INT(max_entries, 16384);
	MAP_TYPE(key, u64);
	MAP_TYPE(value, struct thread);
} tls_threads SEC(".maps");

struct {
	MAP_INT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_INT(max_entries, 16384);
	MAP_TYPE(key, struct session_key);
	MAP_TYPE(value, struct session);
} tls_sessions SEC(".maps");

/* By connection, so that the end of one is the end of what its session is known for: the next session may have the same address. */
struct {
	MAP_INT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_INT(max_entries, 16384);
	MAP_TYPE(key, u64);
	MAP_TYPE(value, struct session_key);
} tls_bound SEC(".maps");

struct plaintext_record {
	struct head head;
	u32 sequence;
	u32 length;
	u32 tgid;
	u32 unused;
	u64 session;
};

INLINE struct thread *known_thread(u64 id)
{
	return bpf_map_lookup_elem(&tls_threads, &id);
}

INLINE struct thread *thread_of(u64 id)
{
	struct thread *thread = known_thread(id);
	if (thread)
		return thread;
	struct thread fresh = {};
	bpf_map_update_elem(&tls_threads, &id, &fresh, 0);
	return known_thread(id);
}

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
	struct thread *thread = thread_of(bpf_get_current_pid_tgid());
	if (!thread)
		return;
	if (thread->within) {
		thread->call.nested = cookie;
	} else if (direction == INGRESS) {
		thread->received = cookie;
	} else if (thread->sends) {
		struct session_key key = thread->sending;
		struct session *session = bpf_map_lookup_elem(&tls_sessions, &key);
		thread->sends = 0;
		if (session)
			tls_bind(session, &key, cookie);
		bind(cookie, &key, set);
	}
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

/* A TLS record holds 16 KB; Go's gRPC writes 32 KB at once. */
#define PLAINTEXT_PIECES 9

INLINE void tell(struct plaintext_record *fixed, u64 from, u32 length, struct control *set)
{
	u64 waiting = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA), flags = wake_at(waiting, set);
	u32 room = waiting < 2 * set->watermark_bytes ? PLAINTEXT_PIECES * 4040 : set->head_bytes; /* rather the beginning of each piece than some of them */
	u32 captured = length < room ? length : room;
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
INLINE void tls_piece(struct thread *thread, u32 tgid, u32 length, struct control *set)
{
	struct call *call = &thread->call;
	u8 direction = call->what & TLS_WRITES ? EGRESS : INGRESS;
	struct session_key key = { .session = call->session, .tgid = tgid };
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
		if (thread->received)
			tls_bind(session, &key, thread->received);
		thread->received = 0;
		conn = session->conn;
	} else {
		thread->sending = key;
		thread->sends = 1;
	}
	if (call->what & TLS_TABLE)
		told_table(session, &key, conn, direction, call, length, set);
	else
		told(session, &key, conn, direction, call->buffer, length, set);
}

/* Of a call that begins: where it is to be written. */
INLINE struct call *begin_call(struct thread *thread)
{
	if (!thread)
		return 0;
	thread->within = 1;
	thread->call.nested = 0;
	return &thread->call;
}

/* The thread whose call ends here, if one is under way. */
INLINE struct thread *end_call(u64 id)
{
	struct thread *thread = known_thread(id);
	if (!thread || !thread->within)
		return 0;
	thread->within = 0;
	return thread;
}

SEC("uprobe") int tls_enter(struct registers *registers)
{
	OWN_STACK;
	struct control *set = control();
	u64 id = bpf_get_current_pid_tgid();
	if (!set || set->paused || id >> 32 == set->self_tgid)
		return 0;
	u32 what = bpf_get_attach_cookie(registers);
	u64 session = registers->di, fourth = registers->cx, fifth = registers->r8; /* both are read: the verifier takes no computed offset into registers */
	UNKNOWN(fourth);
	UNKNOWN(fifth);
	if (what & TLS_INDIRECT && bpf_probe_read_user(&session, sizeof session, (void *)registers->di))
		return 0;
	struct call *call = begin_call(thread_of(id));
	if (!call)
		return 0;
	call->session = session;
	call->buffer = registers->si;
	call->asked = registers->dx;
	call->what = what;
	call->told = what & TLS_FIFTH ? fifth : fourth;
	return 0;
}

SEC("uretprobe") int tls_exit(struct registers *registers)
{
	OWN_STACK;
	u64 id = bpf_get_current_pid_tgid();
	struct thread *thread = end_call(id);
	struct control *set = control();
	if (!thread || !set)
		return 0;
	u32 what = thread->call.what;
	s64 length = (s32)registers->ax;
	if ((what & TLS_TOLD) == TLS_RUST) {
		if ((u32)registers->ax)
			return 0;
		length = registers->dx;
	} else if (what & TLS_TOLD) {
		u64 told = 0;
		if (length != 1 || bpf_probe_read_user(&told, sizeof told, (void *)thread->call.told))
			return 0;
		length = told;
	}
	if (length > 0 && length <= 1 << 30)
		tls_piece(thread, id >> 32, length, set);
	return 0;
}

/* rustls lends what it has decrypted (`into_first_chunk`: a slice, returned in memory, without an address when there is none), and is then
 * told how much of it was taken. */
SEC("uretprobe") int rust_chunk(struct registers *registers)
{
	OWN_STACK;
	u64 id = bpf_get_current_pid_tgid();
	struct control *set = control();
	u64 buffer = 0;
	if (!set || set->paused || id >> 32 == set->self_tgid)
		return 0;
	if (bpf_probe_read_user(&buffer, sizeof buffer, (void *)registers->ax) || !buffer)
		return 0;
	struct call *call = begin_call(thread_of(id));
	if (!call)
		return 0;
	call->buffer = buffer;
	call->what = 0;
	return 0;
}

SEC("uprobe") int rust_consume(struct registers *registers)
{
	OWN_STACK;
	u64 id = bpf_get_current_pid_tgid();
	struct thread *thread = end_call(id);
	struct control *set = control();
	s64 length = registers->si;
	if (!thread || !set || length <= 0 || length > 1 << 30)
		return 0;
	thread->call.session = registers->di;
	tls_piece(thread, id >> 32, length, set);
	return 0;
}
