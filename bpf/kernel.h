/* SPDX-License-Identifier: GPL-2.0 */
/* What the programs need of the kernel: helper numbers (kernel ABI), map definitions, and of the kernel's structs only the members
 * that are read. `preserve_access_index` makes the loader look every offset up in the running kernel's BTF, so order and size do not matter. */
#pragma once
#include <linux/bpf.h>

#define SEC(name) __attribute__((section(name), used))
#define INLINE static __attribute__((always_inline)) inline
/* The compiler forgets what it knows of a value, so that the bounds the verifier wants to see stay in the code. */
#define UNKNOWN(value) __asm__ volatile("" : "+r"(value))
#define LOOKED_UP __attribute__((preserve_access_index))
#define MAP_INT(name, value) int(*name)[value]
#define MAP_TYPE(name, value) __typeof__(value) *name

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static u64 (*const bpf_get_current_pid_tgid)(void) = (void *)14;
static long (*const bpf_skb_load_bytes)(const void *skb, u32 offset, void *to, u32 len) = (void *)26;
static u64 (*const bpf_get_socket_cookie)(void *ctx) = (void *)46;
static struct bpf_sock *(*const bpf_sk_fullsock)(struct bpf_sock *sk) = (void *)95;
static void *(*const bpf_sk_storage_get)(void *map, void *sk, void *value, u64 flags) = (void *)107;
static u64 (*const bpf_get_current_task)(void) = (void *)35;
static long (*const bpf_probe_read_user)(void *to, u32 size, const void *from) = (void *)112;
static long (*const bpf_probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static long (*const bpf_seq_write)(void *seq, const void *data, u32 len) = (void *)127;
static void *(*const bpf_ringbuf_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;
static void (*const bpf_ringbuf_discard)(void *data, u64 flags) = (void *)133;
static u64 (*const bpf_ringbuf_query)(void *ring, u64 what) = (void *)134;
static struct socket *(*const bpf_sock_from_file)(void *file) = (void *)162;
static u64 (*const bpf_get_attach_cookie)(void *ctx) = (void *)174;

#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_FIN_WAIT1 4
#define TCP_CLOSE 7
#define TCP_LAST_ACK 9
#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_MPTCP 262

struct in6_address {
	u32 word[4];
};

struct in6_addr {
	struct in6_address in6_u;
} LOOKED_UP;

struct file;

struct fdtable {
	u32 max_fds;
	struct file **fd;
} LOOKED_UP;

struct files_struct {
	struct fdtable *fdt;
} LOOKED_UP;

struct ns_common {
	u32 inum;
} LOOKED_UP;

struct net {
	struct ns_common ns;
} LOOKED_UP;

struct sock_common {
	struct {
		struct net *net;
	} skc_net;
	struct {
		s64 counter;
	} skc_cookie;
	u32 skc_daddr;
	u32 skc_rcv_saddr;
	u16 skc_dport;
	u16 skc_num;
	u16 skc_family;
	volatile unsigned char skc_state;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
} LOOKED_UP;

struct sock {
	struct sock_common __sk_common;
	u16 sk_protocol;
} LOOKED_UP;

struct socket {
	struct file *file;
	struct sock *sk;
} LOOKED_UP;

struct file {
	void *private_data;
} LOOKED_UP;

struct mm_struct {
	struct file *exe_file;
} LOOKED_UP;

struct task_struct {
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct mm_struct *mm;
	struct files_struct *files;
} LOOKED_UP;

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
} LOOKED_UP;

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	u32 fd;
	struct file *file;
} LOOKED_UP;
