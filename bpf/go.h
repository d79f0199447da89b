/* SPDX-License-Identifier: GPL-2.0 */
/* Plaintext of Go's crypto/tls. A goroutine may change its thread within a call, so calls are remembered by goroutine (r14 in the register
 * ABI, Go 1.17 and later), and the socket is found by the connection's file descriptor. Returns are probed at each RET instruction: a
 * uretprobe rewrites the return address, which Go's stack growth does not survive. */
#pragma once
#include "tls.h"

struct goroutine {
	u64 g;
	u32 tgid;
	u32 unused;
};

struct go_call {
	u64 session;
	u64 buffer;
};

struct {
	MAP_INT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_INT(max_entries, 16384);
	MAP_TYPE(key, struct goroutine);
	MAP_TYPE(value, struct go_call);
} go_reads SEC(".maps");

#define FOLLOW(to, from, member) bpf_probe_read_kernel(&(to), sizeof(to), __builtin_preserve_access_index(&(from)->member))

/* The socket behind a descriptor of the current process, as a cookie; 0: it is none, or has said nothing yet. */
INLINE u64 cookie_of(u32 descriptor)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct files_struct *files = 0;
	struct fdtable *table = 0;
	struct file **all = 0, *file = 0, *back = 0;
	struct socket *socket = 0;
	struct sock *sk = 0;
	u32 most = 0;
	u64 cookie = 0;
	if (FOLLOW(files, task, files) || FOLLOW(table, files, fdt) || FOLLOW(most, table, max_fds) || descriptor >= most)
		return 0;
	if (FOLLOW(all, table, fd) || bpf_probe_read_kernel(&file, sizeof file, all + descriptor) || !file || FOLLOW(socket, file, private_data) || !socket)
		return 0;
	/* Only a socket points back to its file. */
	if (FOLLOW(back, socket, file) || back != file || FOLLOW(sk, socket, sk) || !sk || FOLLOW(cookie, sk, __sk_common.skc_cookie))
		return 0;
	return cookie;
}

/* tls.Conn begins with a net.Conn (type, pointer), a net.TCPConn with a *netFD, a netFD with a lock of 16 bytes and the descriptor. */
INLINE u64 go_conn(u64 session)
{
	u64 conn = 0, descriptor_object = 0;
	u32 descriptor = 0;
	if (bpf_probe_read_user(&conn, sizeof conn, (void *)(session + 8)) || bpf_probe_read_user(&descriptor_object, sizeof descriptor_object, (void *)conn) ||
	    bpf_probe_read_user(&descriptor, sizeof descriptor, (void *)(descriptor_object + 16)))
		return 0;
	return cookie_of(descriptor);
}

/* Containers of one image have its files on mounts of their own, so that one file looks like several (overlayfs since Linux 6.8), and each process of
 * it hits the probes of all of them. What is remembered at an entry and told of at a return is told of once; what is told of at its entry, by one probe. */
INLINE int is_told_twice(struct session *session, u32 probe)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct mm_struct *memory = 0;
	FOLLOW(memory, task, mm);
	if (session->memory != (u64)memory) {
		session->memory = (u64)memory;
		session->probe = probe;
	}
	return session->probe != probe;
}

INLINE void go_tell(u64 session, u64 buffer, s64 length, u8 direction, u32 probe, struct control *set)
{
	if (length <= 0 || length > 1 << 30)
		return;
	u64 conn = go_conn(session);
	struct session_key key = { .session = session, .tgid = bpf_get_current_pid_tgid() >> 32 };
	struct session *known = session_of(&key);
	if (!conn || !known || (direction == EGRESS && is_told_twice(known, probe)))
		return;
	told(known, &key, conn, direction, buffer, length, set);
}

SEC("uprobe") int go_write(struct registers *registers)
{
	OWN_STACK;
	struct control *set = control();
	if (set && !set->paused)
		go_tell(registers->ax, registers->bx, registers->cx, EGRESS, bpf_get_attach_cookie(registers), set);
	return 0;
}

SEC("uprobe") int go_read(struct registers *registers)
{
	OWN_STACK;
	struct control *set = control();
	if (!set || set->paused)
		return 0;
	struct goroutine own = { .g = registers->r14, .tgid = bpf_get_current_pid_tgid() >> 32 };
	struct go_call call = { .session = registers->ax, .buffer = registers->bx };
	bpf_map_update_elem(&go_reads, &own, &call, 0);
	return 0;
}

SEC("uprobe") int go_read_return(struct registers *registers)
{
	OWN_STACK;
	struct control *set = control();
	struct goroutine own = { .g = registers->r14, .tgid = bpf_get_current_pid_tgid() >> 32 };
	struct go_call *found = bpf_map_lookup_elem(&go_reads, &own);
	if (!found || !set)
		return 0;
	struct go_call call = *found;
	bpf_map_delete_elem(&go_reads, &own);
	go_tell(call.session, call.buffer, registers->ax, INGRESS, 0, set);
	return 0;
}
