/*
 * Embeddings over HTTP against tests/server.py, which plays a server well and badly. Run from the top folder.
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "claim.h"
#include "net/net.h"
#include "scratch.h"

static char folder[SCRATCH], ports[96], requests[96], url[64];

static pid_t
start_server(void)
{
	pid_t pid = fork();
	int port = 0;

	if (pid == 0) {
		execl("/usr/bin/python3", "python3", "tests/server.py", ports, requests, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 200 && port == 0; i++) {
		FILE *file = fopen(ports, "r");
		if (file) {
			if (fscanf(file, "%d", &port) != 1)
				port = 0;
			fclose(file);
		} else {
			nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
		}
	}
	snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", port);
	return port ? pid : -1;
}

/* Vectors of three texts by the model of that name; free *vectors. */
static int
embed(const char *model, size_t *dim, float **vectors, struct fault *f)
{
	static const struct span texts[] = { { "banana", 6 }, { "\"gr\xC3\xBCn\"\n", 8 }, { "", 0 } };
	struct net_options o = net_options;

	o.url = url;
	o.model = model;
	o.retry_wait_s = .01;
	o.n_try = 2;
	struct net *n = net_open(&o, f);
	int status = n ? net_embed(n, texts, 3, dim, vectors, f) : -1;
	net_close(n);
	return status;
}

int
main(void)
{
	static const float want[] = { 6, 3, 1, 8, 0, 1, 0, 0, 1 };
	static const struct { const char *model, *words; } bad[] = {
		{ "count", "expected 3 embeddings, got 2" }, { "length", "expected 3 numbers, got 2" },
		{ "twice", "each index from 0 to 2 once" }, { "null", "is not finite" }, { "nan", "is not finite" },
		{ "empty", "got none" },
	};
	static const char *const good[] = { "ok", "shuffled", "unnumbered", "base64" };
	struct fault f;
	float *vectors;
	size_t dim;

	unsetenv("HARE_API_KEY");
	unsetenv("OPENAI_API_KEY");
	if (scratch_folder(folder) < 0)
		return 1;
	snprintf(ports, sizeof ports, "%s/ports", folder);
	snprintf(requests, sizeof requests, "%s/requests", folder);
	pid_t server = start_server();
	if (!claim(server > 0, "the server of the tests starts"))
		return 1;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		dim = 0;
		int status = embed(good[i], &dim, &vectors, &f);
		claim(status == 0 && dim == 3 && memcmp(vectors, want, sizeof want) == 0,
		    "%s: each text has its vector, exact, whatever the server's order and form", good[i]);
		free(vectors);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		dim = 0;
		int status = embed(bad[i].model, &dim, &vectors, &f);
		claim(status < 0 && f.status == EX_UNAVAILABLE && strstr(f.text, bad[i].words) && !vectors,
		    "%s is refused: %s", bad[i].model, bad[i].words);
		free(vectors);
	}
	dim = 4;
	claim(embed("ok", &dim, &vectors, &f) < 0 && strstr(f.text, "expected 4 numbers, got 3") && dim == 4,
	    "another dimension than before is refused");
	dim = 0;
	claim(embed(NULL, &dim, &vectors, &f) == 0 && dim == 3, "a server's only model is taken without being named");
	free(vectors);
	kill(server, SIGTERM);
	waitpid(server, NULL, 0);
	claim(embed("ok", &dim, &vectors, &f) < 0 && f.status == EX_UNAVAILABLE && strstr(f.text, "(2 tries)"),
	    "a server that is gone is tried again, then EX_UNAVAILABLE");
	unlink(ports);
	unlink(requests);
	rmdir(folder);
	return claim_n_failed != 0;
}
