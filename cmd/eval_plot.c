/* The figures of hare-eval, drawn by gnuplot where it is installed. */
#include "eval.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "record/record.h"

/* 0, or the status of gnuplot; 127 if there is none. */
static int
draw(const char *folder, const char *name)
{
	char script[64];
	int status;

	snprintf(script, sizeof script, "%s.gp", name);
	pid_t child = fork();
	if (child == 0) {
		if (chdir(folder) == 0)
			execlp("gnuplot", "gnuplot", script, (char *)NULL);
		_exit(127);
	}
	while (child > 0 && waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return 127;
	return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

int
eval_plot(const char *folder, const struct eval_table *t, const struct eval_run *heat, const struct eval_space *space,
    struct eval_labels labels, const char *query, struct fault *f)
{
	char title[256];
	const char *drawn[5];
	int n_drawn = 0;

	if (mkdir(folder, 0777) < 0 && errno != EEXIST)
		return fault_errno(f, folder, "mkdir");
	const struct eval_figure lines[] = {
		{ folder, "curve", "What was shown: hits or rewards, in windows of ten", "events or rounds", "share" },
		{ folder, "regret", "Regret", "rounds", "rewards that the oracle has more" },
		{ folder, "entropy", "Entropy of attention over the same queries", "events or rounds", "nats" },
		{ folder, "divergence", "Two users, one query: 1 - cosine of z", "events or rounds", "1 - cosine" },
	};
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		int n = eval_plot_lines(&lines[i], t, lines[i].name, i == 2 ? "entropy" : i == 3 ? "z" : NULL, i >= 2, f);
		if (n < 0)
			return -1;
		if (n > 0)
			drawn[n_drawn++] = lines[i].name;
	}
	snprintf(title, sizeof title, "Attention of each user at the end: %s", query);
	const struct eval_figure map = { folder, "attention", title, "item", "user" };
	int n = heat ? eval_plot_heat(&map, heat, space, labels, f) : 0;
	if (n < 0)
		return -1;
	if (n > 0)
		drawn[n_drawn++] = map.name;
	for (int i = 0; i < n_drawn; i++) {
		int status = draw(folder, drawn[i]);
		if (status == 127) {
			if (!record_options.quiet)
				warnx("gnuplot is not installed: %s has the data and the scripts, no pictures", folder);
			return 0;
		}
		if (status != 0)
			return fault(f, EX_SOFTWARE, "%s/%s.gp: gnuplot ended with status %d", folder, drawn[i], status);
	}
	return 0;
}
