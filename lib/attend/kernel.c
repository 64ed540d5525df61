#include "attend/kernel_inside.h"

#include <string.h>

const struct attend_kernel *
attend_kernel_at(size_t i)
{
	static const struct attend_kernel *(*const all[])(void) = { kernel_avx512, kernel_avx2, kernel_neon, kernel_plain };

	for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
		const struct attend_kernel *kernel = all[k]();
		if (kernel && i-- == 0)
			return kernel;
	}
	return NULL;
}

const struct attend_kernel *
attend_kernel_best(void)
{
	return attend_kernel_at(0);
}

const struct attend_kernel *
attend_kernel_named(const char *name)
{
	const struct attend_kernel *kernel = NULL;

	for (size_t i = 0; (kernel = attend_kernel_at(i)) && strcmp(kernel->name, name) != 0; i++)
		;
	return kernel;
}
