#!/bin/sh
# Attention by an index (hare-attend --epsilon --delta): how time grows with the pool, with the exponent fitted and a plot, and how
# often the promise is kept, for clustered rows that are made up and for the texts of DATA.
# usage: BUILD=build [DATA=folder] tests/bench/sublinear.sh      DATA (or DATA/debian) may hold pool.csv.gz: id,title,text
# ROWS: sizes, "100000 300000 1000000 3000000 10000000" unless given, of which the largest takes 3 GB of disk and memory;
# QUERIES: for the promise, 10000; KEEP: a folder for the pools, which are then made once
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
PATH="$build:$PATH"; export PATH
make -s "BUILD=${BUILD:-build}" "${BUILD:-build}/bench/sublinear"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
pools=${KEEP:-$dir}
set --
for n in ${ROWS:-100000 300000 1000000 3000000 10000000}; do
	[ -e "$pools/made.$n" ] || "$build/bench/sublinear" make "$n" 128 "$pools/made.$n"
	set -- "$@" "$pools/made.$n"
done
echo "# E .001, D .01, int8, one query at a time; known users with widening .2, new ones without"
"$build/bench/sublinear" time "$@" | tee "$dir/times"
[ "$(grep -vc '^#' "$dir/times")" -eq $((2 * $#)) ]     # tee has no status of what it reads from
for who in new known; do
	awk -v w="$who" '$3 == w { n++; x = log($1); y = log($4); z = log($6); sx += x; sy += y; sz += z; xx += x * x; xy += x * y; xz += x * z }
		END { d = n * xx - sx * sx; if (n > 1) printf "%s users: time grows as N^%.2f by the index, as N^%.2f exact (least squares over %d sizes)\n", w,
		(n * xy - sx * sy) / d, (n * xz - sx * sz) / d, n }' "$dir/times"
done
if command -v gnuplot > /dev/null; then
	mkdir -p "$build/bench"
	gnuplot <<-PLOT && echo "plot: $build/bench/sublinear.svg"
	set terminal svg size 640,420
	set output "$build/bench/sublinear.svg"
	set logscale xy
	set key left top
	set xlabel "rows"
	set ylabel "milliseconds a query"
	plot "< grep ' new ' $dir/times" using 1:4 with linespoints title "new users, by the index", \
	     "< grep ' known ' $dir/times" using 1:4 with linespoints title "known users, by the index", \
	     "< grep ' known ' $dir/times" using 1:6 with linespoints title "exact"
	PLOT
fi
echo "# the promise: total variation against the exact answer"
first=$1
for d in .01 .05; do "$build/bench/sublinear" promise "$first" "${QUERIES:-10000}" .001 $d; done
"$build/bench/sublinear" promise "$first" "${QUERIES:-10000}" .05 .05
for f in "${DATA:-}/pool.csv.gz" "${DATA:-}/debian/pool.csv.gz"; do
	[ -n "${DATA:-}" ] && [ -e "$f" ] || continue
	hare-embed fit -q -d 128 -o "$dir/model" -c title,text "$f"
	hare-embed -q -m "$dir/model" -c title,text "$f" | hare-pool build -m "$dir/model" -o "$dir/texts" --index
	echo "# texts: as the program does it, and with no limit on what is read, so that the index answers all"
	for most in .25 1.1; do "$build/bench/sublinear" promise "$dir/texts" "${QUERIES:-10000}" .001 .01 $most; done
	"$build/bench/sublinear" promise "$dir/texts" "${QUERIES:-10000}" .1 .1 1.1
	break
done
