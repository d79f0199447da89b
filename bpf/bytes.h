/* SPDX-License-Identifier: GPL-2.0 */
/* Plaintext: what every TCP socket sends and receives, seen at the root of the cgroup tree in all network namespaces.
 * Egress is seen before segmentation and ingress after aggregation, so one call sees up to 64 KB. Packets always pass. */
#pragma once
#include "maps.h"

struct view {
	u32 offset; /* of the payload */
	u32 length;
	u32 sequence;
	struct endpoints ends; /* datagrams only */
};

/* Offset of the transport header, 0 when the packet is not one of ours. */
INLINE u32 transport(struct __sk_buff *skb, u8 protocol)
{
	u8 *data = (u8 *)(long)skb->data, *end = (u8 *)(long)skb->data_end;
	if (data + 40 <= end && data[0] >> 4 == 6)
		return data[6] == protocol ? 40 : 0; /* packets with extension headers are left out */
	if (data + 20 <= end && data[0] >> 4 == 4)
		return data[9] == protocol ? (data[0] & 15) * 4 : 0;
	return 0;
}

INLINE int tcp_payload(struct __sk_buff *skb, struct view *view)
{
	u32 at = transport(skb, IPPROTO_TCP);
	u8 *data = (u8 *)(long)skb->data, *end = (u8 *)(long)skb->data_end;
	if (at < 20 || at > 60 || data + at + 20 > end)
		return 0;
	u8 *tcp = data + at;
	view->offset = at + (tcp[12] >> 4) * 4;
	view->length = skb->len > view->offset ? skb->len - view->offset : 0;
	view->sequence = __builtin_bswap32(*(u32 *)(tcp + 4));
	return view->length > 0;
}

#define RECORD(room)                                                                                                     \
	struct record_##room {                                                                                           \
		struct bytes_record fixed;                                                                               \
		u8 data[room];                                                                                           \
	};                                                                                                               \
	INLINE int emit_##room(struct __sk_buff *skb, struct head *head, u32 sequence, u32 length, u32 from, u32 captured, u64 flags) \
	{                                                                                                                \
		struct record_##room *record = bpf_ringbuf_reserve(&ring, sizeof *record, 0);                            \
		if (!record) {                                                                                           \
			dropped(DROP_RING);                                                                              \
			return 0;                                                                                        \
		}                                                                                                        \
		record->fixed.head = *head;                                                                              \
		record->fixed.head.captured = captured;                                                                  \
		record->fixed.sequence = sequence;                                                                       \
		record->fixed.length = length;                                                                           \
		UNKNOWN(captured);                                                                                       \
		if (captured == 0 || captured > room || bpf_skb_load_bytes(skb, from, record->data, captured)) {         \
			dropped(DROP_COPY);                                                                              \
			bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);                                                   \
			return 0;                                                                                        \
		}                                                                                                        \
		bpf_ringbuf_submit(record, flags);                                                                       \
		return 1;                                                                                                \
	}

/* With its header of 32 bytes and the ring's of 8, a record takes whole cache lines: touching memory is most of what it costs. */
RECORD(88)
RECORD(216)
RECORD(984)
RECORD(4056)

/* A packet is 64 KB, and on loopback often twice that; it is captured in pieces, of which the last one accounts for what was not captured. */
#define PIECES 33
#define PACKET_BYTES_MAX (PIECES * 4056)

/* Asking how full the ring is costs as much as copying a small record, so small ones ask now and then: their connection's first does. */
#define ASK_EVERY 8

INLINE void emit(struct __sk_buff *skb, struct conn *conn, struct head *head, struct view *view, u32 captured, struct control *set)
{
	u8 asks = captured > 984 || conn->records++ % ASK_EVERY == 0;
	u64 flags = asks ? wake(set) : BPF_RB_NO_WAKEUP;
	u32 length = view->length;
	if (captured <= 88) {
		emit_88(skb, head, view->sequence, length, view->offset, captured, flags);
		return;
	}
	if (captured <= 216) {
		emit_216(skb, head, view->sequence, length, view->offset, captured, flags);
		return;
	}
	if (captured <= 984) {
		emit_984(skb, head, view->sequence, length, view->offset, captured, flags);
		return;
	}
	for (u32 done = 0; done < PACKET_BYTES_MAX; done += 4056) { /* a constant in each turn, which keeps the verifier quick */
		if (captured <= done + 4056) {
			emit_4056(skb, head, view->sequence + done, length - done, view->offset + done, captured - done, flags);
			return;
		}
		if (!emit_4056(skb, head, view->sequence + done, 4056, view->offset + done, 4056, flags))
			return;
	}
}

/* Messages that follow each other without an answer are taken whole, as is what came before user space could tell, while half of the ring is
 * free. What rather is one long message is so only while hardly anything waits: that bounds what all of them cost together. */
INLINE int whole(struct conn *conn, struct control *set)
{
	int follows = conn->mode == MODE_ASK ? conn->taken < set->first_bytes : conn->mode == MODE_WHOLE;
	return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) < (follows ? 2 * set->watermark_bytes : set->watermark_bytes / 2);
}

/* How much of this packet to take: all of it at the start of a message, the head of each packet once a message is long. */
INLINE u32 allowance(struct conn *conn, u32 length, u8 direction, struct control *set)
{
	if (conn->last != direction) {
		conn->last = direction;
		conn->burst = 0;
	}
	u32 left = conn->burst < set->burst_bytes ? set->burst_bytes - conn->burst : 0;
	u32 most = left > set->head_bytes ? left : set->head_bytes;
	conn->burst += length;
	if (conn->burst < length)
		conn->burst = ~0U;
	return length <= most || whole(conn, set) ? length : most;
}

INLINE int wanted(struct conn *conn, struct control *set)
{
	if (conn->mode == MODE_ASK && conn->taken >= set->ask_bytes) {
		u8 *verdict = bpf_map_lookup_elem(&verdicts, &conn->cookie);
		if (verdict) {
			conn->mode = *verdict & MODE_MASK;
			conn->sends = !!(*verdict & MODE_SENDS);
		}
	}
	return conn->mode != MODE_IGNORE;
}

/* 0 for a packet that repeats what was seen. A later packet than expected leaves a hole, and what comes to fill it is let through. */
INLINE int is_new(struct conn *conn, struct view *view, u8 direction)
{
	u8 seen = 1 << direction, hole = 4 << direction;
	u32 end = view->sequence + view->length;
	s32 ahead = (s32)(view->sequence - conn->expected[direction]);
	if (!(conn->known & seen)) {
		conn->known |= seen;
	} else if (ahead > 0) {
		conn->known |= hole;
	} else if ((s32)(end - conn->expected[direction]) <= 0) {
		return conn->known & hole;
	}
	conn->expected[direction] = end;
	return 1;
}

/* A handshake or application data of TLS (RFC 8446, 5.1): type, version 3.x. */
INLINE int is_tls(struct __sk_buff *skb, struct view *view)
{
	u8 start[3] = {};
	if (view->length < 3 || bpf_skb_load_bytes(skb, view->offset, start, 3))
		return 0;
	return (start[0] == 0x16 || start[0] == 0x17) && start[1] == 3 && start[2] <= 4;
}

/* TCP has written into each packet it sends when that is to leave, of the same clock: reading it again would cost as much as copying a small record. */
INLINE u64 moment(struct __sk_buff *skb, u8 direction)
{
	return direction == EGRESS && skb->tstamp ? skb->tstamp : bpf_ktime_get_ns();
}

#define LOOPBACK 1 /* in every network namespace */

INLINE void tcp(struct __sk_buff *skb, struct bpf_sock *sk, u8 direction, struct control *set)
{
	struct conn *conn = bpf_sk_storage_get(&conns, sk, 0, 0);
	if (conn && conn->mode == MODE_IGNORE)
		return;
	struct view view = {};
	if (!tcp_payload(skb, &view))
		return;
	if (conn && conn->sends && direction == INGRESS && skb->ifindex == LOOPBACK) {
		conn->last = INGRESS;
		return;
	}
	if (!conn) {
		conn = bpf_sk_storage_get(&conns, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (!conn) {
			dropped(DROP_STORAGE);
			return;
		}
	}
	if (!conn->cookie)
		conn->cookie = bpf_get_socket_cookie(skb);
	if (!conn->taken)
		conn->tls = is_tls(skb, &view);
	if (!is_new(conn, &view, direction))
		return;
	if (!wanted(conn, set))
		return;
	u32 captured = allowance(conn, view.length, direction, set);
	if (captured > PACKET_BYTES_MAX)
		captured = PACKET_BYTES_MAX;
	conn->taken = conn->taken + captured < captured ? ~0U : conn->taken + captured;
	struct head head = {
		.kind = KIND_BYTES, .direction = direction, .role = conn->role, .conn = conn->cookie, .ts_ns = moment(skb, direction)
	};
	emit(skb, conn, &head, &view, captured, set);
}

#define DNS_PORT 53

/* What the agent itself asks is left out: its sockets are marked when they send first. */
INLINE int is_own(struct bpf_sock *sk, u32 tgid, struct control *set)
{
	struct conn *conn = bpf_sk_storage_get(&conns, sk, 0, tgid == set->self_tgid ? BPF_SK_STORAGE_GET_F_CREATE : 0);
	if (conn && tgid == set->self_tgid)
		conn->own = 1;
	return conn && conn->own;
}

INLINE void udp(struct __sk_buff *skb, struct bpf_sock *sk, u8 direction, struct control *set)
{
	u32 at = transport(skb, IPPROTO_UDP);
	u8 *data = (u8 *)(long)skb->data, *end = (u8 *)(long)skb->data_end;
	if (at < 20 || at > 60 || data + at + 8 > end)
		return;
	u16 from = __builtin_bswap16(*(u16 *)(data + at)), to = __builtin_bswap16(*(u16 *)(data + at + 2));
	if (from != DNS_PORT && to != DNS_PORT)
		return;
	u32 length = skb->len > at + 8 ? skb->len - at - 8 : 0;
	u32 captured = length < 512 ? length : 512;
	if (length == 0)
		return;
	struct process sender = {};
	if (direction == EGRESS)
		sender = current_process(); /* a datagram passes here within the call that sends it */
	if (is_own(sk, sender.tgid, set))
		return;
	struct datagram_record *record = bpf_ringbuf_reserve(&ring, sizeof *record, 0);
	if (!record) {
		dropped(DROP_RING);
		return;
	}
	struct head *head = &record->conn.head;
	struct endpoints *ends = &record->conn.ends;
	__builtin_memset(&record->conn, 0, sizeof record->conn);
	head->kind = KIND_DATAGRAM;
	head->direction = direction;
	head->captured = captured;
	head->conn = bpf_get_socket_cookie(skb);
	head->ts_ns = bpf_ktime_get_ns();
	record->conn.tgid = sender.tgid;
	record->conn.parent = sender.parent;
	u8 out = direction == EGRESS, width = at == 40 ? 16 : 4, source = at == 40 ? 8 : 12;
	ends->family = at == 40 ? AF_INET6 : AF_INET;
	ends->protocol = IPPROTO_UDP;
	ends->local_port = out ? from : to;
	ends->remote_port = out ? to : from;
	if (width == 16) {
		bpf_skb_load_bytes(skb, 8, out ? ends->local : ends->remote, 16);
		bpf_skb_load_bytes(skb, 24, out ? ends->remote : ends->local, 16);
	} else {
		bpf_skb_load_bytes(skb, source, out ? ends->local : ends->remote, 4);
		bpf_skb_load_bytes(skb, source + 4, out ? ends->remote : ends->local, 4);
	}
	UNKNOWN(captured);
	if (captured == 0 || captured > sizeof record->data || bpf_skb_load_bytes(skb, at + 8, record->data, captured)) {
		dropped(DROP_COPY);
		bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
		return;
	}
	bpf_ringbuf_submit(record, wake(set));
}

INLINE int packet(struct __sk_buff *skb, u8 direction)
{
	struct control *set = control();
	struct bpf_sock *sk = skb->sk;
	if (!set || set->paused || !sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	if (sk->protocol == IPPROTO_TCP)
		tcp(skb, sk, direction, set);
	else if (sk->protocol == IPPROTO_UDP)
		udp(skb, sk, direction, set);
	return 1;
}

SEC("cgroup_skb/ingress") int bytes_ingress(struct __sk_buff *skb)
{
	return packet(skb, INGRESS);
}

SEC("cgroup_skb/egress") int bytes_egress(struct __sk_buff *skb)
{
	return packet(skb, EGRESS);
}
