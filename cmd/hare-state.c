/*
 * hare-state - looks after the file in which beliefs are kept
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bandit/bandit.h"
#include "base/file.h"
#include "base/opt.h"
#include "filter.h"
#include "learn/learn.h"
#include "mat/mat.h"

enum { CACHE_BYTES = 8 << 20, LOAD_CACHE_BYTES = 24 << 20 };

static const char *state_name, *out_name;
static struct learn_how how;

#define STATE_OPTION { 's', "state", OPT_FILE, &state_name, "STATE", "the state", NULL, "HARE_STATE" }
#define SHARED_OPTIONS { 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL }
#define END_OPTIONS { 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL }

static struct state *
open_state(const struct opt_program *p, enum state_mode mode, struct fault *f)
{
	if (!state_name)
		opt_usage(p, "expected a STATE: -s or HARE_STATE");
	struct state *s = state_open(state_name, mode, f);
	if (s)
		state_cache(s, CACHE_BYTES);
	return s;
}

/* The state may stand behind the verb as well: there it wins over the environment, but is not a second one. */
static void
take_operand(const struct opt_program *p, int n_operand, char **operand)
{
	const char *usual = getenv("HARE_STATE");
	int is_given = state_name && !(usual && strcmp(state_name, usual) == 0);

	if (n_operand > !is_given)
		opt_usage(p, "unexpected operand %s", operand[is_given ? 0 : 1]);
	if (n_operand == 1)
		state_name = operand[0];
}

/* Ends a verb that writes no records. */
static int
finish(struct state *s, int failed, struct fault *f)
{
	struct fault closing;

	if (state_close(s, &closing) < 0 && !failed) {
		*f = closing;
		failed = 1;
	}
	return filter_finish(NULL, NULL, failed ? f->status : EX_OK, f);
}

/* A message about a file that was to get its name when it is whole. */
static void
show_as(struct fault *f, const char *temporary, const char *name)
{
	char *at = strstr(f->text, temporary);
	struct fault shown = *f;

	if (at) {
		snprintf(shown.text, sizeof shown.text, "%.*s%s%s", (int)(at - f->text), f->text, name, at + strlen(temporary));
		*f = shown;
	}
}

static int
run_dump(const struct opt_program *p, int n_operand, char **operand)
{
	struct record_out *out = NULL;
	struct fault f = {0};

	if (how.mean && how.all)
		opt_usage(p, "--mean: not together with --all");
	struct state *s = mat_check(&f) < 0 ? NULL : open_state(p, STATE_READ, &f);
	int failed = !s || learn_dump(s, &how, n_operand, operand, &out, &f) < 0 ||
	    (!how.mean && n_operand == 0 && bandit_dump(s, out, &f) < 0);
	state_close(s, &(struct fault){0});
	return filter_finish(NULL, out, failed ? f.status : EX_OK, &f);
}

static int
run_load(const struct opt_program *p, int n_operand, char **operand)
{
	struct record_in *in = NULL;
	struct state *s = NULL;
	struct fault f = {0}, closing;
	char *temporary = NULL;

	if (!state_name)
		opt_usage(p, "expected a STATE: -s or HARE_STATE");
	int failed = 0;
	if (access(state_name, F_OK) == 0)
		failed = fault(&f, EX_DATAERR, "%s: is there already", state_name) < 0;
	failed = failed || !(in = record_open(n_operand, operand, &f));
	if (!failed) {
		temporary = state_temporary(state_name);
		failed = !(s = state_open(temporary, STATE_CREATE, &f));
	}
	if (!failed) {
		state_cache(s, LOAD_CACHE_BYTES);
		failed = learn_load(s, in, &f) < 0 || bandit_check(s, &f) < 0;
	}
	if (state_close(s, &closing) < 0 && !failed) {
		f = closing;
		failed = 1;
	}
	if (temporary && failed)
		show_as(&f, temporary, state_name);
	else if (temporary)
		failed = state_publish(temporary, state_name, &f) < 0;
	state_temporary_free(temporary);
	return filter_finish(in, NULL, failed ? f.status : EX_OK, &f);
}

static int
count_one(void *arg, struct span key, struct span v, double time, struct fault *f)
{
	(void)key, (void)v, (void)time, (void)f;
	++*(uint64_t *)arg;
	return 0;
}

static int
put_info(struct record_out *out, struct record_row *row, const char *key, const char *value, struct fault *f)
{
	record_row_begin(row, out);
	record_put_text(row, key, strlen(key));
	record_put_text(row, value, strlen(value));
	return record_emit(out, NULL, 0, row, f);
}

static int
put_info_count(struct record_out *out, struct record_row *row, const char *key, uint64_t value, struct fault *f)
{
	char text[32];

	snprintf(text, sizeof text, "%llu", (unsigned long long)value);
	return put_info(out, row, key, text, f);
}

static int
info_settings(struct state *s, struct record_out *out, struct record_row *row, const char *const *key, struct fault *f)
{
	for (; *key; key++) {
		const char *value;
		int found = state_meta(s, *key, &value, f);
		if (found < 0 || (found && put_info(out, row, *key, value, f) < 0))
			return -1;
	}
	return 0;
}

static int
info_rows(struct state *s, struct record_out *out, struct record_row *row, struct fault *f)
{
	uint64_t n_user, n_observation, n_cluster, n_shown, n_arm, n_reward, generation, n_ledger[3] = {0};
	struct stat st = {0};
	char uuid[33];

	if (state_count(s, "user", &n_user, &n_observation, f) < 0 || state_count(s, "cluster", &n_cluster, &n_shown, f) < 0 ||
	    state_count(s, "arm", &n_arm, &n_reward, f) < 0 ||
	    state_identity(s, uuid, &generation, f) < 0)
		return -1;
	for (int i = STATE_SOURCES; i <= STATE_LINEAGE; i++)
		if (state_each_ledger(s, (enum state_ledger)i, count_one, &n_ledger[i], f) < 0)
			return -1;
	stat(state_name, &st);
	if (put_info_count(out, row, "users", n_user, f) < 0 || put_info_count(out, row, "observations", n_observation, f) < 0 ||
	    put_info_count(out, row, "clusters", n_cluster, f) < 0 || put_info_count(out, row, "cluster_observations", n_shown, f) < 0 ||
	    put_info_count(out, row, "arms", n_arm, f) < 0 || put_info_count(out, row, "arm_observations", n_reward, f) < 0 ||
	    put_info_count(out, row, "sources", n_ledger[STATE_SOURCES], f) < 0 ||
	    put_info_count(out, row, "events", n_ledger[STATE_EVENTS], f) < 0 ||
	    put_info_count(out, row, "merged", n_ledger[STATE_LINEAGE], f) < 0 ||
	    put_info_count(out, row, "bytes", (uint64_t)st.st_size, f) < 0 || put_info(out, row, "uuid", uuid, f) < 0 ||
	    put_info_count(out, row, "generation", generation, f) < 0)
		return -1;
	return info_settings(s, out, row, learn_setting_names, f) < 0 || info_settings(s, out, row, bandit_setting_names(), f) < 0
	    ? -1 : 0;
}

static int
run_info(const struct opt_program *p, int n_operand, char **operand)
{
	static const char *const names[] = { "key", "value" };
	struct record_out *out = NULL;
	struct record_row row = {0};
	struct fault f = {0};

	take_operand(p, n_operand, operand);
	struct state *s = open_state(p, STATE_READ, &f);
	int failed = !s || state_begin_read(s, &f) < 0 || !(out = record_out_open(NULL, NULL, names, 2, &f)) ||
	    info_rows(s, out, &row, &f) < 0;
	if (s)
		state_rollback(s);
	state_close(s, &(struct fault){0});
	record_row_free(&row);
	return filter_finish(NULL, out, failed ? f.status : EX_OK, &f);
}

static void
say(void *arg, const char *line)
{
	(void)arg;
	warnx("%s", line);
}

static int
run_check(const struct opt_program *p, int n_operand, char **operand)
{
	struct fault f = {0};

	take_operand(p, n_operand, operand);
	struct state *s = open_state(p, STATE_READ, &f);
	/* each thing that state_check() finds is said; then there is no more to say */
	if (s && state_check(s, say, NULL, &f) < 0) {
		state_close(s, &(struct fault){0});
		return file_stdout_close(f.status);
	}
	return finish(s, !s || learn_check(s, &f) < 0 || bandit_check(s, &f) < 0, &f);
}

static int
merge_arms(struct state *out, struct state *const *part, size_t n_part, struct fault *f)
{
	if (state_begin(out, f) < 0)
		return -1;
	if (bandit_merge(out, part, n_part, f) == 0)
		return state_commit(out, f);
	state_rollback(out);
	return -1;
}

static int
run_merge(const struct opt_program *p, int n_operand, char **operand)
{
	struct fault f = {0}, closing;
	struct state *out = NULL, **part;

	if (!out_name)
		opt_usage(p, "expected the state to make: -o");
	if (n_operand < 1)
		opt_usage(p, "expected the states to merge");
	int failed = access(out_name, F_OK) == 0 && fault(&f, EX_DATAERR, "%s: is there already", out_name) < 0;
	part = xcalloc((size_t)n_operand, sizeof *part);
	for (int i = 0; i < n_operand && !failed; i++)
		failed = !(part[i] = state_open(operand[i], STATE_READ, &f));
	char *temporary = state_temporary(out_name);
	if (!failed)
		failed = !(out = state_open(temporary, STATE_CREATE, &f));
	if (!failed) {
		state_cache(out, CACHE_BYTES);
		failed = learn_merge(out, part, (size_t)n_operand, &f) < 0 || merge_arms(out, part, (size_t)n_operand, &f) < 0;
	}
	if (state_close(out, &closing) < 0 && !failed) {
		f = closing;
		failed = 1;
	}
	for (int i = 0; i < n_operand; i++)
		state_close(part[i], &closing);
	if (failed)
		show_as(&f, temporary, out_name);
	else
		failed = state_publish(temporary, out_name, &f) < 0;
	state_temporary_free(temporary);
	free(part);
	return finish(NULL, failed, &f);
}

static int
run_forget(const struct opt_program *p, int n_operand, char **operand)
{
	struct fault f = {0};
	const char *unknown = NULL;

	if (n_operand < 1)
		opt_usage(p, "expected the users to forget");
	struct state *s = open_state(p, STATE_WRITE, &f);
	int failed = !s || state_begin(s, &f) < 0;
	for (int i = 0; i < n_operand && !failed; i++) {
		int found = state_delete(s, "user", (struct span){ operand[i], strlen(operand[i]) }, &f);
		failed = found < 0 || state_forget_events(s, (struct span){ operand[i], strlen(operand[i]) }, &f) < 0;
		if (found == 0)
			unknown = operand[i];
	}
	/* scrubbed in any case: an earlier run may have ended between the two */
	failed = failed || state_commit(s, &f) < 0 || state_scrub(s, &f) < 0;
	if (!failed && unknown)
		failed = fault(&f, EX_DATAERR, "%s: nothing is known of user %s", state_name, fault_quote(unknown, strlen(unknown))) < 0;
	return finish(s, failed, &f);
}

static int
run_compact(const struct opt_program *p, int n_operand, char **operand)
{
	struct fault f = {0};

	if (n_operand > 0)
		opt_usage(p, "unexpected operand %s", operand[0]);
	struct state *s = open_state(p, STATE_WRITE, &f);
	return finish(s, !s || state_scrub(s, &f) < 0, &f);
}

static int
run_backup(const struct opt_program *p, int n_operand, char **operand)
{
	struct fault f = {0};

	if (n_operand != 1)
		opt_usage(p, "expected one file to make");
	struct state *s = open_state(p, STATE_READ, &f);
	return finish(s, !s || state_backup(s, operand[0], &f) < 0, &f);
}

static const struct opt plain_opts[] = { STATE_OPTION, SHARED_OPTIONS, END_OPTIONS };
static const struct opt dump_opts[] = {
	STATE_OPTION,
	{ 0, "mean", OPT_FLAG, &how.mean, NULL, "what is believed instead of what was seen: user, n, first, last, uncertainty, mean", NULL, NULL },
	{ 0, "all", OPT_FLAG, &how.all, NULL, "identity, lineage, sources and events too: a whole move to another machine", NULL, NULL },
	{ 0, "text", OPT_FLAG, &how.text, NULL, "numbers in decimal instead of base64", NULL, NULL },
	SHARED_OPTIONS, END_OPTIONS
};
static const struct opt merge_opts[] = {
	{ 'o', "output", OPT_FILE, &out_name, "OUT", "the state to make", NULL, NULL }, SHARED_OPTIONS, END_OPTIONS
};

static const struct opt_program info = { "info", "what a state holds and how it was set up", "-s STATE", plain_opts, NULL, run_info, NULL };
static const struct opt_program dump = { "dump", "beliefs and settings as records", "-s STATE [--all] [--text] [USER ...]\n"
    "-s STATE --mean [USER ...]", dump_opts, "  hare-state dump -s team.state | hare-state load -s copy.state\n"
    "  hare-state dump -s team.state --mean ann\n", run_dump, NULL };
static const struct opt_program load = { "load", "a new state from a dump", "-s STATE [file ...]", plain_opts, NULL, run_load, NULL };
static const struct opt_program check = { "check", "read and verify everything", "-s STATE", plain_opts, NULL, run_check, NULL };
static const struct opt_program merge = { "merge", "the sum of states that learnt apart", "-o OUT STATE ...", merge_opts,
    "  hare-state merge -o all.state monday.state tuesday.state\n", run_merge, NULL };
static const struct opt_program forget = { "forget", "remove users without trace", "-s STATE USER ...", plain_opts, NULL, run_forget, NULL };
static const struct opt_program compact = { "compact", "write the file anew, without gaps", "-s STATE", plain_opts, NULL, run_compact, NULL };
static const struct opt_program backup = { "backup", "a copy of a state in use", "-s STATE FILE", plain_opts, NULL, run_backup, NULL };

static const struct opt_program *const verbs[] = { &info, &dump, &load, &check, &merge, &forget, &compact, &backup, NULL };

static const struct opt_program program = {
	.name = "hare-state",
	.summary = "look after the state: what was learnt of users",
	.usage = "info|dump|load|check|forget|compact|backup -s STATE ...\nmerge -o OUT STATE ...",
	.examples =
	    "  hare-state info -s team.state\n"
	    "  hare-state dump -s team.state > team.csv\n"
	    "  hare-state forget -s team.state ann\n",
	.verbs = verbs,
};

int
main(int argc, char *argv[])
{
	file_init();
	return opt_run(&program, argc, argv);
}
