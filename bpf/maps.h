/* SPDX-License-Identifier: GPL-2.0 */
/* The maps all feature groups share. They are why the groups are one object: maps can only be shared between objects by pins,
 * and a pin would outlive a crash of the agent. Programs are still loaded one by one, so a refused one costs its feature only. */
#pragma once
#include "records.h"

struct {
	MAP_INT(type, BPF_MAP_TYPE_RINGBUF);
	MAP_INT(max_entries, 4 << 20);
} ring SEC(".maps");

struct {
	MAP_INT(type, BPF_MAP_TYPE_SK_STORAGE);
	MAP_INT(map_flags, BPF_F_NO_PREALLOC);
	MAP_TYPE(key, int);
	MAP_TYPE(value, struct conn);
} conns SEC(".maps");

struct {
	MAP_INT(type, BPF_MAP_TYPE_ARRAY);
	MAP_INT(max_entries, 1);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, struct control);
} controls SEC(".maps");

/* User space's word on a connection (enum mode), looked up until it is there. */
struct {
	MAP_INT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_INT(max_entries, 16384);
	MAP_TYPE(key, u64);
	MAP_TYPE(value, u8);
} verdicts SEC(".maps");

struct {
	MAP_INT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_INT(max_entries, DROP_COUNT);
	MAP_TYPE(key, u32);
	MAP_TYPE(value, u64);
} drops SEC(".maps");

INLINE struct control *control(void)
{
	u32 zero = 0;
	return bpf_map_lookup_elem(&controls, &zero);
}

INLINE void dropped(u32 reason)
{
	u64 *count = bpf_map_lookup_elem(&drops, &reason);
	if (count)
		*count += 1;
}

/* The program that a process runs: that of its parent until it begins one of its own. */
INLINE struct file *program_of(struct task_struct *task)
{
	struct mm_struct *memory = 0;
	struct file *program = 0;
	if (!bpf_probe_read_kernel(&memory, sizeof memory, &task->mm) && memory)
		bpf_probe_read_kernel(&program, sizeof program, &memory->exe_file);
	return program;
}

struct process {
	u32 tgid;
	u32 parent; /* what it was forked from; 0: it has begun a program of its own */
};

/* Read piece by piece: the helper for the current process's number is younger for some programs than this way. */
INLINE struct process current_process(void)
{
	struct task_struct *task = (void *)bpf_get_current_task(), *parent = 0;
	struct process process = {};
	bpf_probe_read_kernel(&process.tgid, sizeof process.tgid, &task->tgid);
	bpf_probe_read_kernel(&parent, sizeof parent, &task->real_parent);
	struct file *program = program_of(task);
	if (parent && program && program == program_of(parent))
		bpf_probe_read_kernel(&process.parent, sizeof process.parent, &parent->tgid);
	return process;
}

/* Above the watermark by so much, the reader was woken already: wider than what one packet adds. */
#define WOKEN_BYTES (128 << 10)

/* Nobody is woken per record: the reader looks from time to time, and is woken once when the ring fills beyond its watermark. */
INLINE u64 wake_at(u64 waiting, struct control *set)
{
	return waiting > set->watermark_bytes && waiting <= set->watermark_bytes + WOKEN_BYTES ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

INLINE u64 wake(struct control *set)
{
	return wake_at(bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA), set);
}
