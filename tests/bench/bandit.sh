#!/bin/sh
# Contextual bandits: reward of the one default on standard sets, decisions with updates per CPU second from text to
# text, memory, many arms, and LinUCB in plain numpy in the same run.
# usage: BUILD=build tests/bench/bandit.sh      sets: r-cran-mlbench and python3-sklearn of Debian; what is missing is said
set -eu
cd "$(dirname "$0")/../.."
PATH="$PWD/${BUILD:-build}:$PATH"; export PATH
case ${BUILD:-build} in /*) PATH="$BUILD:$PATH" ;; esac
OPENBLAS_NUM_THREADS=1; export OPENBLAS_NUM_THREADS
python=/usr/bin/python3
[ -x $python ] || python=python3
helper=tests/bench/bandit.py
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM

$python -c 'import numpy' 2> /dev/null || { echo "skipped: python3-numpy is not installed"; exit 0; }
# Sets of R as numbers: the label from 0, then features; rows with missing values are left out, factors become codes.
cat > "$dir/sets.R" <<'END'
suppressMessages(library(mlbench))
save <- function(name, set, label) {
	data <- get(data(list = set, package = "mlbench"))
	data <- data[complete.cases(data), ]
	x <- data[, setdiff(names(data), c(label, "Id")), drop = FALSE]
	x <- sapply(x, function(v) if (is.factor(v)) { n <- suppressWarnings(as.numeric(as.character(v)))
	    if (anyNA(n)) as.numeric(v) else n } else as.numeric(v))
	write.table(cbind(y = as.integer(factor(data[[label]])) - 1, x), file.path(commandArgs(TRUE)[1], paste0(name, ".txt")),
	    sep = ",", row.names = FALSE)
}
save("letter", "LetterRecognition", "lettr")
save("satellite", "Satellite", "classes")
save("vehicle", "Vehicle", "Class")
save("pima", "PimaIndiansDiabetes", "diabetes")
save("glass", "Glass", "Type")
save("ionosphere", "Ionosphere", "Class")
save("sonar", "Sonar", "Class")
save("vowel", "Vowel", "Class")
save("breast", "BreastCancer", "Class")
save("dna", "DNA", "Class")
save("soybean", "Soybean", "Class")
save("zoo", "Zoo", "type")
save("votes", "HouseVotes84", "Class")
END
if ! Rscript "$dir/sets.R" "$dir" > /dev/null 2>&1; then
	echo "letter, satellite, vehicle, pima, dna and others are skipped: r-cran-mlbench is not installed"
fi
$python $helper sets "$dir"
[ -e "$dir/digits.npz" ] || echo "digits and wine are skipped: python3-sklearn is not installed"

# CPU seconds and kB of a command: out goes to FILE
spent() {
	file=$1; shift
	$python -c '
import os, subprocess, sys
with open(sys.argv[1], "wb") as out: p = subprocess.Popen(sys.argv[2:], stdout=out)
pid, status, use = os.wait4(p.pid, 0)
if status: sys.exit("bench failed: status %d" % status)
print("%.4f" % (use.ru_utime + use.ru_stime))' "$file" /usr/bin/env time -f %M -o "$dir/kB" "$@"
	cat "$dir/kB"
}

echo "mean reward, one pass, five shuffles, features standardised over the set and as they are; no option given"
printf '%-11s %6s %6s  %s\n' set std raw 'the best known LinUCB, tuned for each set'
for set in letter satellite vehicle pima digits wine glass ionosphere sonar vowel breast dna soybean zoo votes; do
	[ -e "$dir/$set.npz" ] || continue
	case $set in
	letter) bar=.622 ;; satellite) bar=.816 ;; vehicle) bar=.710 ;; pima) bar=.762 ;; digits) bar=.842 ;; wine) bar=.940 ;;
	*) bar=- ;;
	esac
	for how in std raw; do
		for seed in 1 2 3 4 5; do
			$python $helper rows "$dir/$set.npz" $seed 1 $how > "$dir/rows.csv"
			hare-bandit run "$dir/rows.csv" | tail -n +2
		done | awk -F, '{ n += $6; m++ } END { printf "%.3f\n", n / m }' > "$dir/$how"
	done
	printf '%-11s %6s %6s  %s\n' $set "$(cat "$dir/std")" "$(cat "$dir/raw")" $bar
done

echo
echo "decisions with updates per CPU second, whole process, text to text; best of 3; features as they are"
printf '%-11s %4s %4s %9s %9s %9s %7s %9s  %s\n' set d K linucb default -s kB numpy 'another program: epsilon-greedy'
for set in letter satellite digits dna; do
	[ -e "$dir/$set.npz" ] || continue
	case $set in letter) n=10 other=113000 ;; satellite) n=30 other=212000 ;; digits) n=30 other=83000 ;; dna) n=20 other=71000 ;; esac
	$python $helper rows "$dir/$set.npz" 1 $n raw > "$dir/rows.csv"
	n_row=$(($(wc -l < "$dir/rows.csv") - 1))
	printf '%-11s %4s %4s' $set "$(sed -n 2p "$dir/rows.csv" | cut -d, -f3 | wc -w)" "$(cut -d, -f2 "$dir/rows.csv" | sort -u | tail -n +2 | wc -l)"
	most=0
	for how in "--policy linucb --alpha 0.2 --lambda 1" "--policy auto" "--policy auto -s $dir/state"; do
		best=
		for i in 1 2 3; do
			rm -f "$dir/state"
			# shellcheck disable=SC2086
			set -- $(spent "$dir/out.csv" hare-bandit run $how "$dir/rows.csv")
			best=$(awk -v a="$1" -v b="${best:-1e9}" 'BEGIN { print a < b ? a : b }')
			[ "$2" -le $most ] || most=$2
		done
		awk -v n="$n_row" -v t="$best" 'BEGIN { printf " %9.0f", n / t }'
	done
	# shellcheck disable=SC2046
	printf ' %7s %9s  %s\n' $most $($python $helper numpy "$dir/$set.npz" 1 2000 | cut -d' ' -f1) $other
done

echo
echo "1,000 arms of 64 features, one core"
awk 'BEGIN { srand(1); print "label,x"
	for (i = 0; i < 6000; i++) { printf "%d,", i % 1000
		for (j = 0; j < 64; j++) printf "%s%.4f", j ? " " : "", rand() * 2 - 1 + (j == i % 64); print "" } }' > "$dir/many.csv"
for verb in run choose; do
	case $verb in
	run) set -- run --policy linucb -s "$dir/many.state" "$dir/many.csv" ;;
	choose) set -- choose --threads 1 -s "$dir/many.state" "$dir/many.csv" ;;
	esac
	# shellcheck disable=SC2046
	set -- $(spent "$dir/out.csv" hare-bandit "$@")
	awk -v verb=$verb -v t="$1" -v kb="$2" 'BEGIN { printf "%-8s %9.0f decisions per CPU second, %d kB\n", verb, 6000 / t, kb }'
done
