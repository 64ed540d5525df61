#!/bin/sh
# Attention against what the machine can do (reading memory, sgemm) and against faiss and torch, where these are installed;
# then the same through programs and files: stores, sketches, certificates, a cold process.
# usage: BUILD=build [DATA=folder] tests/bench/attention.sh      DATA (or DATA/debian) may hold pool.csv.gz: id,title,text
# ROWS: rows of the large pool, 1,000,000 unless given; DIMS: dimensions, "128 384"
set -eu
cd "$(dirname "$0")/../.."
PATH="$PWD/${BUILD:-build}:$PATH"; export PATH
build=${BUILD:-build}
make -s "BUILD=$build" "$build/bench/attention"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
rows=${ROWS:-1000000}

data= asked=title
for f in "${DATA:-}/pool.csv.gz" "${DATA:-}/debian/pool.csv.gz"; do [ -n "${DATA:-}" ] && [ -e "$f" ] && data=$f; done
if [ -z "$data" ]; then
	# whose titles have no words that others have
	data=$dir/made-up.csv asked=text
	awk 'BEGIN { srand(1); print "id,title,text"
		for (i = 0; i < 20000; i++) { t = ""
			topic = int(rand() * 40)
			for (w = 0; w < 30; w++) t = t " w" (rand() < .5 ? topic * 50 + int(50 * rand() ^ 2) : 2000 + int(20000 * rand() ^ 3))
			printf "t%d,title %d,%s\n", i, i, t } }' > "$data"
fi
for dim in ${DIMS:-128 384}; do
	hare-embed fit -q -d "$dim" -o "$dir/model.$dim" -c title,text "$data"
	hare-embed -q -m "$dir/model.$dim" -c title,text "$data" | hare-pool build -m "$dir/model.$dim" -o "$dir/pool.$dim"
	echo "# the kernels, $dim dimensions: rows of texts, many times with noise"
	"$build/bench/attention" "$rows" "$dim" "$dir/pool.$dim"
	[ -x /usr/bin/python3 ] && /usr/bin/python3 tests/bench/attention.py "$rows" "$dim" || echo "no python3: peers are left out"
done

echo "# programs and files, 128 dimensions"
dim=128
[ -e "$dir/model.$dim" ] || exit 0
/usr/bin/python3 tests/bench/attention.py make "$dir/pool.$dim" "$rows" "$dir/large"
hare-pool build -m "$dir/model.$dim" -o "$dir/f32" --sketch --vectors "$dir/large.npy" --normalise "$dir/large.csv"
rm "$dir/large.npy"
for s in bf16 int8; do hare-pool merge --store $s -o "$dir/$s" "$dir/f32"; done
hare-pool merge --no-sketch -o "$dir/bare" "$dir/f32"
hare-embed -q -m "$dir/model.$dim" -c "$asked" "$data" | awk -F, -v OFS=, '{ print $NF }' | head -n 65 > "$dir/64.csv"
head -n 2 "$dir/64.csv" > "$dir/1.csv"
now_ms() { date +%s%N | awk '{ printf "%.2f", $1 / 1e6 }'; }
# ms NAME command...: the median of five
ms() {
	name=$1; shift
	for i in 1 2 3 4 5; do t0=$(now_ms); "$@" > /dev/null; t1=$(now_ms); echo "$t0 $t1"; done |
		awk '{ print $2 - $1 }' | sort -n | awk -v n="$name" 'NR == 3 { printf "%-64s %9.1f ms\n", n, $1 }'
}
ms "a process that does nothing (--version)" hare-attend --version
for s in bare f32 bf16 int8; do
	ms "$s: one query, whole process, all verified" hare-attend -m "$dir/model.$dim" -p "$dir/$s" --kappa 0 "$dir/1.csv"
	ms "$s: one query, whole process, --trust" hare-attend --trust -m "$dir/model.$dim" -p "$dir/$s" --kappa 0 "$dir/1.csv"
done
ms "f32: one query, --epsilon .001 --trust" hare-attend --trust -m "$dir/model.$dim" -p "$dir/f32" --kappa 0 --epsilon .001 "$dir/1.csv"
ms "f32: 64 queries" hare-attend -m "$dir/model.$dim" -p "$dir/f32" --kappa 0 "$dir/64.csv"
ms "f32: 64 queries, --epsilon .001" hare-attend -m "$dir/model.$dim" -p "$dir/f32" --kappa 0 --epsilon .001 "$dir/64.csv"
