/*
 * json.h - JSON read strictly and written plainly. The only caller of jansson.
 *
 * Reading: RFC 8259, UTF-8 checked, duplicate keys refused, \u0000 kept, integers to 64 bits. Every getter is total:
 * a NULL or a value of another kind gives the default, so that a chain of them needs one test at its end.
 */
#ifndef HARE_JSON_JSON_H
#define HARE_JSON_JSON_H

#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"

/* libjansson exports functions of these two names: for the linker ours must have others. */
#define json_string hare_json_string
#define json_integer hare_json_integer

struct json;            /* a value; those got from inside another are borrowed from it */

/* One value over all of text[0..n); the caller ends it with json_free(). NULL with *f set (EX_DATAERR, "what: ..."
   with line and column). */
struct json *json_read(const char *text, size_t n, const char *what, struct fault *f);
void json_free(struct json *j);

const struct json *json_get(const struct json *object, const char *key);        /* NULL if not there */
const struct json *json_at(const struct json *array, size_t i);
size_t json_count(const struct json *j);                /* items of an array, members of an object, else 0 */
const char *json_key(const struct json *object, size_t i);      /* the i-th member in file order; O(i) */
const struct json *json_value(const struct json *object, size_t i);
/* All members in file order, O(1) each: begin with {0} and call until it returns 0. */
struct json_member {
	const char *key;
	const struct json *value;
	void *at;               /* where the walk is */
};
int json_next(const struct json *object, struct json_member *m);
int json_is_array(const struct json *j);
int json_is_object(const struct json *j);
int json_is_string(const struct json *j);
int json_is_number(const struct json *j);
int json_is_null(const struct json *j);                 /* null itself, not NULL */
struct span json_string(const struct json *j);          /* {NULL, 0} if it is none; no NUL is promised */
double json_number(const struct json *j, double otherwise);
int64_t json_integer(const struct json *j, int64_t otherwise);  /* 3, but not 3.0 */

/* object = object + members of more (those of more win); for --extra. 0, or -1 if one is no object. */
int json_merge(struct json *object, const struct json *more);
/* Appends compact JSON, keys in file order. */
void json_put(struct buf *b, const struct json *j);

/* Writing by hand: appends "..." with escapes. 0, or -1 (nothing appended) if the bytes are not UTF-8. */
int json_put_string(struct buf *b, const char *at, size_t n);

#endif
