/* SPDX-License-Identifier: GPL-2.0 */
/* Connections: when they open and close, which side they are, and whose they are. */
#pragma once
#include "tls.h"

INLINE void endpoints(struct endpoints *ends, struct sock *sk)
{
	ends->family = sk->__sk_common.skc_family;
	ends->protocol = sk->sk_protocol;
	ends->local_port = sk->__sk_common.skc_num;
	ends->remote_port = __builtin_bswap16(sk->__sk_common.skc_dport);
	if (ends->family == AF_INET6) {
		struct in6_address local = sk->__sk_common.skc_v6_rcv_saddr.in6_u, remote = sk->__sk_common.skc_v6_daddr.in6_u;
		__builtin_memcpy(ends->local, &local, 16);
		__builtin_memcpy(ends->remote, &remote, 16);
	} else {
		u32 local = sk->__sk_common.skc_rcv_saddr, remote = sk->__sk_common.skc_daddr;
		__builtin_memcpy(ends->local, &local, 4);
		__builtin_memcpy(ends->remote, &remote, 4);
	}
}

INLINE void announce(u8 kind, struct sock *sk, struct conn *conn, struct control *set)
{
	struct conn_record *record = bpf_ringbuf_reserve(&ring, sizeof *record, 0);
	if (!record) {
		dropped(DROP_RING);
		return;
	}
	__builtin_memset(record, 0, sizeof *record);
	record->head.kind = kind;
	record->head.role = conn->role;
	record->head.conn = conn->cookie;
	record->head.ts_ns = bpf_ktime_get_ns();
	record->tgid = conn->tgid;
	record->parent = conn->parent;
	record->namespace = sk->__sk_common.skc_net.net->ns.inum;
	endpoints(&record->ends, sk);
	bpf_ringbuf_submit(record, wake(set));
}

INLINE struct conn *conn_of(struct sock *sk)
{
	struct conn *conn = bpf_sk_storage_get(&conns, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!conn)
		dropped(DROP_STORAGE);
	else if (!conn->cookie)
		conn->cookie = bpf_get_socket_cookie(sk);
	return conn;
}

INLINE void owned(struct conn *conn, struct control *set)
{
	struct process owner = current_process();
	conn->tgid = owner.tgid;
	conn->parent = owner.parent;
	if (owner.tgid == set->self_tgid) {
		conn->own = 1;
		conn->mode = MODE_IGNORE;
	}
}

/* connect() runs in the process that connects, so a client is known at once; a server's end is set up in the interrupt. */
SEC("tp_btf/inet_sock_set_state") int conn_state(u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	u32 before = ctx[1], after = ctx[2];
	struct control *set = control();
	if (!set || set->paused || sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (after == TCP_SYN_SENT) {
		struct conn *conn = conn_of(sk);
		if (conn) {
			conn->role = ROLE_CLIENT;
			owned(conn, set);
		}
	} else if (after == TCP_ESTABLISHED && (before == TCP_SYN_SENT || before == TCP_SYN_RECV)) {
		struct conn *conn = conn_of(sk);
		if (conn) {
			conn->role = before == TCP_SYN_SENT ? ROLE_CLIENT : ROLE_SERVER;
			announce(KIND_OPEN, sk, conn, set); /* the agent's too: whom it sends to should know who that is */
		}
	} else if (after == TCP_FIN_WAIT1 || after == TCP_LAST_ACK || after == TCP_CLOSE) {
		struct conn *conn = bpf_sk_storage_get(&conns, sk, 0, 0);
		if (conn && conn->tls)
			tls_unbind(conn->cookie);
		if (conn && conn->cookie && after == TCP_CLOSE)
			announce(KIND_CLOSE, sk, conn, set);
	}
	return 0;
}

INLINE void used(struct sock *sk, u8 direction)
{
	struct conn *conn = bpf_sk_storage_get(&conns, sk, 0, 0);
	if (!conn || (conn->tgid && !conn->tls) || !conn->cookie)
		return;
	struct control *set = control();
	if (!set || set->paused)
		return;
	if (!conn->tgid) {
		owned(conn, set);
		if (!conn->own)
			announce(KIND_OWNER, sk, conn, set);
	}
	if (conn->tls)
		tls_used(conn->cookie, direction, set);
}

SEC("tp_btf/tcp_sendmsg_locked") int owner_sends(u64 *ctx)
{
	used((struct sock *)ctx[0], EGRESS);
	return 0;
}

SEC("tp_btf/sock_recv_length") int owner_receives(u64 *ctx)
{
	used((struct sock *)ctx[0], INGRESS);
	return 0;
}

/* Sockets that are older than the agent, and who listens. */
SEC("iter/task_file") int conn_files(struct bpf_iter__task_file *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	if (!task || !file || task->pid != task->tgid)
		return 0;
	struct socket *socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	struct sock *sk = socket->sk;
	if (!sk)
		return 0;
	u16 family = sk->__sk_common.skc_family, protocol = sk->sk_protocol; /* Go listens for MPTCP, and accepts TCP */
	if ((family != AF_INET && family != AF_INET6) || (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP && protocol != IPPROTO_UDP))
		return 0;
	struct conn_record record = {};
	record.head.kind = KIND_OPEN;
	record.head.conn = bpf_get_socket_cookie(sk);
	record.tgid = task->tgid;
	record.state = sk->__sk_common.skc_state;
	record.namespace = sk->__sk_common.skc_net.net->ns.inum;
	endpoints(&record.ends, sk);
	bpf_seq_write(seq, &record, sizeof record);
	return 0;
}
