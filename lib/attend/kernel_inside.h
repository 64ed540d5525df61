/*
 * kernel_inside.h - the kernels that there are; only for kernel.c and the kernels themselves
 */
#ifndef HARE_ATTEND_KERNEL_INSIDE_H
#define HARE_ATTEND_KERNEL_INSIDE_H

#include "attend/kernel.h"

/* NULL where the processor lacks what it needs. */
const struct attend_kernel *kernel_avx512(void);
const struct attend_kernel *kernel_avx2(void);
const struct attend_kernel *kernel_neon(void);
const struct attend_kernel *kernel_plain(void);

#endif
