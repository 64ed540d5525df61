/* JSON: strict reading, total getters, writing that reads back the same. */
#include "json/json.h"

#include <stdlib.h>
#include <string.h>

#include "claim.h"

static struct json *
read_text(const char *text, struct fault *f)
{
	return json_read(text, strlen(text), "test", f);
}

static void
refuses(const char *text, size_t n, const char *why)
{
	struct fault f = {0};
	struct json *j = json_read(text, n, "test", &f);

	claim(!j && f.status == EX_DATAERR && strncmp(f.text, "test: line ", 11) == 0 && !strchr(f.text, '\n'),
	    "%s is refused with line and column", why);
	json_free(j);
}

static void
strictness(void)
{
	static const struct { const char *text, *why; } bad[] = {
		{ "", "an empty text" }, { "{\"a\":1,}", "a comma too many" }, { "{\"a\":1,\"a\":2}", "a key given twice" },
		{ "[1] 2", "something behind the value" }, { "[1", "an open array" }, { "'a'", "a single quote" },
		{ "[01]", "a leading zero" }, { "[1.]", "a point without digits" }, { "[NaN]", "NaN" },
		{ "[1e999]", "a number beyond double" }, { "[9223372036854775808]", "an integer beyond 64 bits" },
		{ "\"\\ud800\"", "half a surrogate pair" }, { "\"a\nb\"", "a line end in a string" },
		{ "\"\xC0\x80\"", "an overlong character" }, { "\"\xFF\"", "a byte that is no UTF-8" },
		{ "{\"a\\u0000b\":1}", "a NUL in a key" },
	};
	struct buf deep = {0};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		refuses(bad[i].text, strlen(bad[i].text), bad[i].why);
	refuses("[1]\0", 4, "a NUL behind the value");
	for (int i = 0; i < 1000000; i++)
		buf_putc(&deep, '[');
	refuses(deep.at, deep.n, "a million brackets");
	buf_free(&deep);
}

static void
getters(void)
{
	struct fault f;
	struct json *j = read_text("{\"z\":[1,2.5,\"t\\u0000u\",null,true],\"a\":{\"k\":9007199254740993},\"m\":-9223372036854775808}", &f);
	const struct json *z = json_get(j, "z");

	claim(j && json_is_object(j) && json_count(j) == 3, "an object of three members is read");
	claim(strcmp(json_key(j, 0), "z") == 0 && strcmp(json_key(j, 1), "a") == 0 && strcmp(json_key(j, 2), "m") == 0 &&
	    !json_key(j, 3), "keys come in file order");
	claim(json_value(j, 0) == z && !json_value(j, 3), "values come with their keys");
	claim(json_is_array(z) && json_count(z) == 5 && json_integer(json_at(z, 0), -1) == 1 &&
	    json_number(json_at(z, 1), 0) == 2.5 && json_is_null(json_at(z, 3)), "an array gives its items");
	struct span s = json_string(json_at(z, 2));
	claim(s.n == 3 && memcmp(s.at, "t\0u", 3) == 0, "\\u0000 is kept inside a string");
	claim(json_integer(json_get(json_get(j, "a"), "k"), 0) == 9007199254740993, "2^53 + 1 is not rounded");
	claim(json_integer(json_get(j, "m"), 0) == INT64_MIN, "the smallest 64-bit integer is read");
	claim(json_integer(json_at(z, 1), 7) == 7 && json_number(json_at(z, 2), 7) == 7 && json_string(z).at == NULL,
	    "a value of another kind gives the default");
	claim(!json_get(NULL, "a") && !json_get(z, "a") && !json_at(j, 0) && !json_at(z, 5) && json_count(NULL) == 0 &&
	    !json_is_null(NULL) && json_integer(NULL, 3) == 3 && !json_key(z, 0), "chains over what is not there are safe");
	json_free(j);
}

static void
writing(void)
{
	struct fault f;
	struct buf b = {0}, again = {0};
	const char *text = "{\"b\":[0.1,1.0,-3,1e+20,true,false,null],\"a\":\"q\\\"\\\\\\n\\u0001\\u0000\xC3\xA9\"}";
	struct json *j = read_text(text, &f);

	json_put(&b, j);
	claim(b.n == strlen(text) && memcmp(b.at, text, b.n) == 0, "what was read is written as it was: %s", buf_string(&b));
	json_free(j);
	j = json_read(b.at, b.n, "again", &f);
	json_put(&again, j);
	claim(again.n == b.n && memcmp(again.at, b.at, b.n) == 0, "and read back the same");

	struct json *more = read_text("{\"a\":1,\"c\":[2]}", &f);
	buf_clear(&b);
	claim(json_merge(j, more) == 0 && json_integer(json_get(j, "a"), 0) == 1 && json_count(j) == 3,
	    "members of the second object win");
	claim(json_merge(j, json_get(j, "c")) == -1, "an array is not merged into an object");
	json_free(more);
	json_put(&b, json_get(j, "c"));
	claim(b.n == 3 && memcmp(b.at, "[2]", 3) == 0, "what was merged outlives its source");
	json_free(j);

	buf_clear(&b);
	buf_puts(&b, "x");
	claim(json_put_string(&b, "a\xFF", 2) == -1 && b.n == 1, "bytes that are no UTF-8 are not written");
	claim(json_put_string(&b, "\t\x1F\x7F/\xF0\x9F\x98\x80", 8) == 0 && strcmp(buf_string(&b), "x\"\\t\\u001f\x7F/\xF0\x9F\x98\x80\"") == 0,
	    "control characters are escaped, others stay");
	buf_clear(&b);
	claim(json_put_string(&b, NULL, 0) == 0 && strcmp(buf_string(&b), "\"\"") == 0, "an empty string is written");
	buf_free(&b);
	buf_free(&again);
}

int
main(void)
{
	strictness();
	getters();
	writing();
	return claim_n_failed != 0;
}
