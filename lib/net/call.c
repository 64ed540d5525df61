/*
 * Requests on their way: n_parallel of them at once through one curl_multi, each with its time-outs and further tries.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/rng.h"
#include "net/inside.h"

enum { REPLY_MAX = 1 << 28 };           /* bytes; a server that sends more is broken */
#define RETRY_AFTER_MAX 120.            /* times retry_wait_s */

enum phase { FREE, WAITING, SENT };

struct slot {
	enum phase phase;
	size_t i;                       /* of the call */
	struct call call;
	CURL *easy;
	char error[CURL_ERROR_SIZE];
	size_t n_tried;
	int mended, broken, too_long;
	double due_s;                   /* WAITING: when to send */
	double active_s;                /* SENT: when a byte last moved */
	curl_off_t n_moved;
	curl_off_t n_received;
	struct engine *engine;
};

struct engine {
	struct net *n;
	const struct call_kind *kind;
	struct slot *slot;              /* [n_slot] */
	size_t n_slot;
	size_t next, limit;             /* calls to begin: [next, limit) */
	unsigned char *ended;           /* [n_call] */
	struct fault *failed;           /* [n_call], text empty: went well */
	struct rng rng;
};

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* -- what the server said -- */

int
call_fault(const char *url, int status, struct fault *f, const char *format, ...)
{
	char text[640];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	/* a query may hold a key of its own */
	return fault(f, status, "%.*s: %s", (int)strcspn(url, "?#"), url, text);
}

const struct json *
call_error(const struct json *reply)
{
	const struct json *error = json_get(reply, "error");

	return !error || json_is_null(error) ? NULL : error;
}

void
call_message(const struct net *n, struct span reply, char out[304])
{
	struct fault ignored;
	struct json *j = json_read(reply.at ? reply.at : "", reply.n, "reply", &ignored);
	const struct json *error = call_error(j);
	const char *const names[] = { "message", "detail", "msg" };
	struct span text = json_string(error);
	size_t n_out = 0, n_key = n->key ? strlen(n->key) : 0;

	for (size_t i = 0; i < sizeof names / sizeof *names && !text.at; i++) {
		text = json_string(json_get(error, names[i]));
		if (!text.at)
			text = json_string(json_get(j, names[i]));
	}
	if (!text.at)
		text = reply;
	for (size_t i = 0; i < text.n && n_out < 297; ) {
		if (n_key > 0 && text.n - i >= n_key && memcmp(text.at + i, n->key, n_key) == 0) {
			memcpy(out + n_out, "***", 3);
			n_out += 3;
			i += n_key;
			continue;
		}
		unsigned char c = (unsigned char)text.at[i++];
		if (c <= ' ' || c == 0x7F) {
			if (n_out > 0 && out[n_out - 1] != ' ')
				out[n_out++] = ' ';
		} else {
			out[n_out++] = (char)c;
		}
	}
	if (n_out >= 297) {     /* not in the middle of a character */
		while (n_out > 0 && ((unsigned char)out[n_out - 1] & 0xC0) == 0x80)
			n_out--;
		if (n_out > 0 && (unsigned char)out[n_out - 1] >= 0xC0)
			n_out--;
		memcpy(out + n_out, "...", 3);
		n_out += 3;
	}
	while (n_out > 0 && out[n_out - 1] == ' ')
		n_out--;
	out[n_out] = '\0';
	json_free(j);
}

/* -- one try -- */

static size_t
on_header(char *at, size_t size, size_t n, void *arg)
{
	struct slot *s = arg;

	(void)at;
	s->n_received += (curl_off_t)(size * n);
	return size * n;
}

static size_t
on_bytes(char *at, size_t size, size_t n, void *arg)
{
	struct slot *s = arg;
	const struct call_kind *kind = s->engine->kind;
	size_t n_byte = size * n;
	long status = 0;
	char *type = NULL;

	s->n_received += (curl_off_t)n_byte;
	if (s->n_received > REPLY_MAX) {        /* streams too: a line of one may never end */
		s->too_long = 1;
		return 0;
	}
	curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(s->easy, CURLINFO_CONTENT_TYPE, &type);
	if (status == 200 && kind->bytes && type && strncasecmp(type, "text/event-stream", 17) == 0) {
		s->call.streamed = 1;
		if (kind->bytes(kind->arg, s->i, &s->call, at, n_byte) < 0) {
			s->broken = 1;
			return 0;
		}
		return n_byte;
	}
	buf_put(&s->call.reply, at, n_byte);
	return n_byte;
}

/* localhost is never behind a proxy, whatever the environment says */
static int
is_local(const char *url)
{
	const char *host = strstr(url, "://");

	host = host ? host + 3 : url;
	size_t n = strcspn(host, ":/?#");
	return (n == 9 && strncasecmp(host, "localhost", 9) == 0) || strncmp(host, "127.", 4) == 0 ||
	    strncmp(host, "[::1]", 5) == 0;
}

static void
send_call(struct slot *s)
{
	const struct net *n = s->engine->n;
	const struct net_options *o = n->o;

	if (!s->easy)
		s->easy = curl_easy_init();
	if (!s->easy)
		xmalloc(SIZE_MAX, 1);           /* says that there is no memory */
	curl_easy_reset(s->easy);
	curl_easy_setopt(s->easy, CURLOPT_URL, s->call.url);
	curl_easy_setopt(s->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(s->easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(s->easy, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(s->easy, CURLOPT_MAXREDIRS, 5L);
	curl_easy_setopt(s->easy, CURLOPT_POSTREDIR, (long)CURL_REDIR_POST_ALL);
	/* the key leaves with Authorization, which libcurl drops for another host, port or protocol unless this is set */
	curl_easy_setopt(s->easy, CURLOPT_UNRESTRICTED_AUTH, 0L);
	curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, n->headers);
	curl_easy_setopt(s->easy, CURLOPT_USERAGENT, "hare/" HARE_VERSION);
	if (is_local(s->call.url))
		curl_easy_setopt(s->easy, CURLOPT_PROXY, "");
	if (s->call.request.n > 0) {
		curl_easy_setopt(s->easy, CURLOPT_POST, 1L);
		curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)s->call.request.n);
		curl_easy_setopt(s->easy, CURLOPT_POSTFIELDS, s->call.request.at);
	}
	curl_easy_setopt(s->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)ceil(o->connect_timeout_s * 1e3));
	curl_easy_setopt(s->easy, CURLOPT_TIMEOUT_MS, (long)ceil(o->total_timeout_s * 1e3));
	curl_easy_setopt(s->easy, CURLOPT_ERRORBUFFER, s->error);
	curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, s);
	curl_easy_setopt(s->easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(s->easy, CURLOPT_HEADERDATA, s);
	curl_easy_setopt(s->easy, CURLOPT_PRIVATE, s);
	s->error[0] = '\0';
	buf_clear(&s->call.reply);
	s->call.streamed = s->broken = s->too_long = 0;
	s->n_moved = s->n_received = 0;
	s->active_s = now_s();
	s->n_tried++;
	s->phase = SENT;
	curl_multi_add_handle(n->multi, s->easy);
}

/* -- the end of a call -- */

static void
end_call(struct engine *e, struct slot *s, int failed)
{
	e->ended[s->i] = 1;
	e->failed[s->i].text[0] = '\0';
	if (failed) {
		e->failed[s->i] = s->call.fault;
		if (!e->kind->keep_going && s->i < e->limit)
			e->limit = s->i + 1;
	}
	s->phase = FREE;
}

/* A further try after a wait, if one is left; 0: none is. */
static int
again(struct engine *e, struct slot *s)
{
	const struct net_options *o = e->n->o;
	curl_off_t retry_after_s = 0;
	double wait_s;

	if (s->call.passed_on || s->n_tried >= o->n_try)
		return 0;
	curl_easy_getinfo(s->easy, CURLINFO_RETRY_AFTER, &retry_after_s);       /* seconds or a date, 0 if not told */
	if (retry_after_s > 0)
		wait_s = fmin((double)retry_after_s, RETRY_AFTER_MAX * o->retry_wait_s);
	else    /* jitter, so that clients which were turned away together do not come back together */
		wait_s = o->retry_wait_s * ldexp(.75 + .5 * rng_uniform(&e->rng), (int)s->n_tried - 1);
	s->due_s = now_s() + wait_s;
	s->phase = WAITING;
	return 1;
}

static const char *
tries(const struct slot *s, char out[32])
{
	out[0] = '\0';
	if (s->n_tried > 1)
		snprintf(out, 32, " (%zu tries)", s->n_tried);
	return out;
}

/* The connection failed, in whatever way; result says how. */
static void
settle_broken(struct engine *e, struct slot *s, CURLcode result)
{
	struct call *c = &s->call;
	double request_sent_s = 0;
	char n_tries[32];

	curl_easy_getinfo(s->easy, CURLINFO_PRETRANSFER_TIME, &request_sent_s);
	if (s->broken) {                        /* bytes() has said why */
		end_call(e, s, 1);
		return;
	}
	if (s->too_long) {
		call_fault(c->url, EX_UNAVAILABLE, &c->fault, "the reply is longer than %d MiB", REPLY_MAX >> 20);
		end_call(e, s, 1);
		return;
	}
	/* away, or gone before the answer began; but one that took the request and is silent is not asked twice */
	int away = request_sent_s == 0 || (s->n_received == 0 && result != CURLE_OPERATION_TIMEDOUT);
	switch (result) {
	case CURLE_URL_MALFORMAT: case CURLE_UNSUPPORTED_PROTOCOL: case CURLE_TOO_MANY_REDIRECTS:
	case CURLE_PEER_FAILED_VERIFICATION: case CURLE_SSL_CACERT_BADFILE:
		away = 0;
		break;
	default:
		break;
	}
	if (away && again(e, s))
		return;
	call_fault(c->url, EX_UNAVAILABLE, &c->fault, "%s%s%s",
	    result == CURLE_PARTIAL_FILE ? "the answer was cut: " : "",
	    s->error[0] ? s->error : curl_easy_strerror(result), tries(s, n_tries));
	end_call(e, s, 1);
}

static void
settle(struct engine *e, struct slot *s, CURLcode result)
{
	const struct call_kind *kind = e->kind;
	struct call *c = &s->call;
	char message[304], n_tries[32];
	long status = 0;

	curl_multi_remove_handle(e->n->multi, s->easy);
	if (result != CURLE_OK) {
		settle_broken(e, s, result);
		return;
	}
	curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200 && status < 300) {
		end_call(e, s, kind->reply(kind->arg, s->i, c) < 0);
		return;
	}
	if (status == 400 && kind->mend && !s->mended && kind->mend(kind->arg, s->i, c)) {
		s->mended = 1;
		s->n_tried--;           /* this one said how to ask, it does not count */
		send_call(s);
		return;
	}
	int busy = status == 408 || status == 409 || status == 429 || status >= 500;
	if (busy && again(e, s))
		return;
	call_message(e->n, buf_span(&c->reply), message);
	call_fault(c->url, EX_UNAVAILABLE, &c->fault, "HTTP %ld%s%s%s", status, message[0] ? ": " : "", message,
	    tries(s, n_tries));
	end_call(e, s, 1);
}

/* -- the loop -- */

/* Takes the next call into a free slot, or several that are answered already. */
static void
fill(struct engine *e, struct slot *s)
{
	while (e->next < e->limit) {
		struct call *c = &s->call;
		s->i = e->next++;
		s->n_tried = 0;
		s->mended = 0;
		c->url = NULL;
		c->passed_on = c->streamed = 0;
		buf_clear(&c->request);
		buf_clear(&c->reply);
		int begun = e->kind->begin(e->kind->arg, s->i, c);
		if (begun == 0) {
			send_call(s);
			return;
		}
		end_call(e, s, begun < 0);
	}
}

static void
drop(struct engine *e, struct slot *s)
{
	if (s->phase == SENT)
		curl_multi_remove_handle(e->n->multi, s->easy);
	s->phase = FREE;
}

static void
check_idle(struct engine *e, struct slot *s, double now)
{
	curl_off_t n_sent = 0;
	double limit_s = e->n->o->idle_timeout_s;

	curl_easy_getinfo(s->easy, CURLINFO_SIZE_UPLOAD_T, &n_sent);
	double connected_s = 0;
	curl_easy_getinfo(s->easy, CURLINFO_PRETRANSFER_TIME, &connected_s);
	if (n_sent + s->n_received != s->n_moved || connected_s == 0) {         /* connecting has a time-out of its own */
		s->n_moved = n_sent + s->n_received;
		s->active_s = now;
	} else if (now - s->active_s > limit_s) {
		curl_multi_remove_handle(e->n->multi, s->easy);
		call_fault(s->call.url, EX_UNAVAILABLE, &s->call.fault, "no byte for %g seconds", limit_s);
		end_call(e, s, 1);
	}
}

/* One turn over all slots; the number of those that still work. *wait_s: until something is due. */
static size_t
turn(struct engine *e, double *wait_s)
{
	CURLMsg *message;
	int n_running, n_left;
	size_t n_busy = 0;
	double now;

	for (size_t k = 0; k < e->n_slot; k++) {
		struct slot *s = &e->slot[k];
		if (s->phase != FREE && s->i >= e->limit)
			drop(e, s);
		if (s->phase == FREE)
			fill(e, s);
		else if (s->phase == WAITING && s->due_s <= now_s())
			send_call(s);
	}
	curl_multi_perform(e->n->multi, &n_running);
	while ((message = curl_multi_info_read(e->n->multi, &n_left))) {
		struct slot *s = NULL;
		if (message->msg != CURLMSG_DONE)
			continue;
		CURLcode result = message->data.result;         /* gone once the handle is removed */
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&s);
		settle(e, s, result);
	}
	now = now_s();
	*wait_s = .2;           /* so that idle connections are looked at */
	for (size_t k = 0; k < e->n_slot; k++) {
		struct slot *s = &e->slot[k];
		if (s->phase == SENT)
			check_idle(e, s, now);
		if (s->phase == WAITING)
			*wait_s = fmin(*wait_s, fmax(0, s->due_s - now));
		if (s->phase == FREE && e->next < e->limit)
			*wait_s = 0;
		n_busy += s->phase != FREE;
	}
	return n_busy;
}

int
call_all(struct net *n, size_t n_call, size_t n_parallel, const struct call_kind *kind, struct fault *f)
{
	struct engine e = { .n = n, .kind = kind, .limit = n_call };
	size_t n_told = 0, n_busy;
	double wait_s;
	int status = 0;

	e.n_slot = n_parallel < n_call ? n_parallel : n_call;
	e.slot = xcalloc(e.n_slot, sizeof *e.slot);
	e.ended = xcalloc(n_call, 1);
	e.failed = xcalloc(n_call, sizeof *e.failed);
	e.rng = rng_at((uint64_t)time(NULL), (uint64_t)getpid());
	for (size_t k = 0; k < e.n_slot; k++)
		e.slot[k].engine = &e;
	do {
		n_busy = turn(&e, &wait_s);
		while (status == 0 && n_told < e.limit && e.ended[n_told]) {
			const struct fault *failed = e.failed[n_told].text[0] ? &e.failed[n_told] : NULL;
			status = kind->done(kind->arg, n_told++, failed, f);
		}
		if (n_busy > 0 && status == 0 && wait_s > 0)
			curl_multi_poll(n->multi, NULL, 0, (int)ceil(wait_s * 1e3), NULL);
	} while (status == 0 && n_told < e.limit);
	for (size_t k = 0; k < e.n_slot; k++) {
		drop(&e, &e.slot[k]);
		if (e.slot[k].easy)
			curl_easy_cleanup(e.slot[k].easy);
		buf_free(&e.slot[k].call.request);
		buf_free(&e.slot[k].call.reply);
	}
	free(e.slot);
	free(e.ended);
	free(e.failed);
	return status;
}
