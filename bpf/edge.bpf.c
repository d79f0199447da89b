/* SPDX-License-Identifier: GPL-2.0 */
/* The programs of `pulka edge`, one file per feature group. */
#include "bytes.h"
#include "conns.h"
#include "go.h"

char LICENSE[] SEC("license") = "GPL";
