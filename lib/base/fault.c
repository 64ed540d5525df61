#include "base/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
fault(struct fault *f, int status, const char *format, ...)
{
	va_list ap;

	f->status = status;
	va_start(ap, format);
	vsnprintf(f->text, sizeof f->text, format, ap);
	va_end(ap);
	return -1;
}

int
fault_errno(struct fault *f, const char *path, const char *what)
{
	int e = errno, status;

	switch (e) {
	case ENOENT: case EISDIR: case ENOTDIR:
		status = EX_NOINPUT;
		break;
	case EACCES: case EPERM: case EROFS:
		status = EX_NOPERM;
		break;
	case ENOSPC: case EDQUOT: case EFBIG:
		status = EX_TEMPFAIL;
		break;
	default:
		status = EX_IOERR;
	}
	if (what)
		return fault(f, status, "%s: %s: %s", path, what, strerror(e));
	return fault(f, status, "%s: %s", path, strerror(e));
}

const char *
fault_quote(const char *at, size_t n)
{
	static _Thread_local char ring[4][64];
	static _Thread_local unsigned turn;
	char *out = ring[turn++ % 4];
	size_t n_out = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)at[i];
		if (n_out >= 40) {
			/* never in the middle of a character: step back to its first byte */
			while (n_out > 0 && ((unsigned char)out[n_out - 1] & 0xC0) == 0x80)
				n_out--;
			if (n_out > 0 && (unsigned char)out[n_out - 1] >= 0xC0)
				n_out--;
			memcpy(out + n_out, "...", 3);
			n_out += 3;
			break;
		}
		out[n_out++] = c < 0x20 || c == 0x7F ? '?' : (char)c;
	}
	out[n_out] = '\0';
	return out;
}
