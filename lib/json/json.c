/* jansson's macros json_is_array() and the like have the names of our functions: they go before ours come. */
#include <jansson.h>
#undef json_is_array
#undef json_is_object
#undef json_is_string
#undef json_is_number
#undef json_is_null

#include "json/json.h"

#include <assert.h>
#include <string.h>

#include "base/num.h"

/* struct json is never completed: a pointer to one is a pointer to jansson's json_t. */
static json_t *
inside(const struct json *j)
{
	return (json_t *)(uintptr_t)j;
}

static const struct json *
outside(const json_t *j)
{
	return (const struct json *)j;
}

struct json *
json_read(const char *text, size_t n, const char *what, struct fault *f)
{
	json_error_t e;
	json_t *j = json_loadb(n ? text : "", n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &e);

	if (!j) {
		/* jansson quotes what it found there, which may hold line ends */
		for (char *c = e.text; *c; c++)
			if ((unsigned char)*c < 0x20 || *c == 0x7F)
				*c = '?';
		fault(f, EX_DATAERR, "%s: line %d column %d: %s", what, e.line, e.column, e.text);
		return NULL;
	}
	return (struct json *)j;
}

void
json_free(struct json *j)
{
	json_decref(inside(j));
}

const struct json *
json_get(const struct json *object, const char *key)
{
	return outside(json_object_get(inside(object), key));
}

const struct json *
json_at(const struct json *array, size_t i)
{
	return outside(json_array_get(inside(array), i));
}

size_t
json_count(const struct json *j)
{
	return json_is_array(j) ? json_array_size(inside(j)) : json_object_size(inside(j));
}

int
json_next(const struct json *object, struct json_member *m)
{
	json_t *o = inside(object);
	void *at = m->at ? json_object_iter_next(o, m->at) : json_object_iter(o);

	if (!at)
		return 0;
	m->at = at;
	m->key = json_object_iter_key(at);
	m->value = outside(json_object_iter_value(at));
	return 1;
}

static int
member(const struct json *object, size_t i, struct json_member *m)
{
	*m = (struct json_member){0};
	while (json_next(object, m))
		if (i-- == 0)
			return 1;
	return 0;
}

const char *
json_key(const struct json *object, size_t i)
{
	struct json_member m;

	return member(object, i, &m) ? m.key : NULL;
}

const struct json *
json_value(const struct json *object, size_t i)
{
	struct json_member m;

	return member(object, i, &m) ? m.value : NULL;
}

static int
is(const struct json *j, json_type type)
{
	return j && json_typeof(inside(j)) == type;
}

int
json_is_array(const struct json *j)
{
	return is(j, JSON_ARRAY);
}

int
json_is_object(const struct json *j)
{
	return is(j, JSON_OBJECT);
}

int
json_is_string(const struct json *j)
{
	return is(j, JSON_STRING);
}

int
json_is_number(const struct json *j)
{
	return is(j, JSON_INTEGER) || is(j, JSON_REAL);
}

int
json_is_null(const struct json *j)
{
	return is(j, JSON_NULL);
}

struct span
json_string(const struct json *j)
{
	return (struct span){ json_string_value(inside(j)), json_string_length(inside(j)) };
}

double
json_number(const struct json *j, double otherwise)
{
	return json_is_number(j) ? json_number_value(inside(j)) : otherwise;
}

int64_t
json_integer(const struct json *j, int64_t otherwise)
{
	return is(j, JSON_INTEGER) ? json_integer_value(inside(j)) : otherwise;
}

int
json_merge(struct json *object, const struct json *more)
{
	if (!json_is_object(object) || !json_is_object(more))
		return -1;
	return json_object_update(inside(object), inside(more));
}

/* Bytes of the UTF-8 character that starts at s (RFC 3629: shortest form, no surrogates, at most U+10FFFF), or 0. */
static size_t
utf8_size(const unsigned char *s, size_t n)
{
	unsigned char lo = 0x80, hi = 0xBF;
	size_t size;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xC2 && s[0] <= 0xDF)
		size = 2;
	else if (s[0] >= 0xE0 && s[0] <= 0xEF) {
		size = 3;
		if (s[0] == 0xE0)
			lo = 0xA0;
		else if (s[0] == 0xED)
			hi = 0x9F;
	} else if (s[0] >= 0xF0 && s[0] <= 0xF4) {
		size = 4;
		if (s[0] == 0xF0)
			lo = 0x90;
		else if (s[0] == 0xF4)
			hi = 0x8F;
	} else
		return 0;
	if (n < size || s[1] < lo || s[1] > hi)
		return 0;
	for (size_t i = 2; i < size; i++)
		if ((s[i] & 0xC0) != 0x80)
			return 0;
	return size;
}

int
json_put_string(struct buf *b, const char *at, size_t n)
{
	const unsigned char *s = (const unsigned char *)at;
	size_t n_before = b->n, i_plain = 0;

	buf_putc(b, '"');
	for (size_t i = 0; i < n; ) {
		if (s[i] >= 0x80) {
			size_t size = utf8_size(s + i, n - i);
			if (size == 0) {
				b->n = n_before;
				return -1;
			}
			i += size;
			continue;
		}
		if (s[i] >= 0x20 && s[i] != '"' && s[i] != '\\') {
			i++;
			continue;
		}
		if (i > i_plain)
			buf_put(b, at + i_plain, i - i_plain);
		switch (s[i]) {
		case '"': buf_puts(b, "\\\""); break;
		case '\\': buf_puts(b, "\\\\"); break;
		case '\b': buf_puts(b, "\\b"); break;
		case '\f': buf_puts(b, "\\f"); break;
		case '\n': buf_puts(b, "\\n"); break;
		case '\r': buf_puts(b, "\\r"); break;
		case '\t': buf_puts(b, "\\t"); break;
		default: buf_printf(b, "\\u%04x", s[i]);
		}
		i_plain = ++i;
	}
	if (n > i_plain)
		buf_put(b, at + i_plain, n - i_plain);
	buf_putc(b, '"');
	return 0;
}

static void
put_real(struct buf *b, double value)
{
	char text[NUM_F64_MAX];
	size_t n = num_put_f64(text, value);

	buf_put(b, text, n);
	/* it was written as a real number and shall be read as one */
	if (!memchr(text, '.', n) && !memchr(text, 'e', n))
		buf_puts(b, ".0");
}

void
json_put(struct buf *b, const struct json *j)
{
	struct json_member m = {0};
	struct span s;
	int first = 1;

	assert(j);
	switch (json_typeof(inside(j))) {
	case JSON_OBJECT:
		buf_putc(b, '{');
		while (json_next(j, &m)) {
			if (!first)
				buf_putc(b, ',');
			first = 0;
			json_put_string(b, m.key, strlen(m.key));
			buf_putc(b, ':');
			json_put(b, m.value);
		}
		buf_putc(b, '}');
		break;
	case JSON_ARRAY:
		buf_putc(b, '[');
		for (size_t i = 0; i < json_count(j); i++) {
			if (i > 0)
				buf_putc(b, ',');
			json_put(b, json_at(j, i));
		}
		buf_putc(b, ']');
		break;
	case JSON_STRING:
		s = json_string(j);
		json_put_string(b, s.at, s.n);
		break;
	case JSON_INTEGER:
		buf_printf(b, "%lld", (long long)json_integer_value(inside(j)));
		break;
	case JSON_REAL:
		put_real(b, json_real_value(inside(j)));
		break;
	case JSON_TRUE:
		buf_puts(b, "true");
		break;
	case JSON_FALSE:
		buf_puts(b, "false");
		break;
	case JSON_NULL:
		buf_puts(b, "null");
		break;
	}
}
