#!/bin/sh
# Speed of hare-pool: from records, from NPY, growing, checking, finding; and the memory of a million rows.
# usage: BUILD=build [DATA=folder] tests/bench/pool.sh      DATA (or DATA/debian) may hold pool.csv.gz: id,title,text
set -eu
cd "$(dirname "$0")/../.."
PATH="$PWD/${BUILD:-build}:$PATH"; export PATH
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM

now_ms() { date +%s%N | awk '{ printf "%.2f", $1 / 1e6 }'; }
# ms NAME command...: the best of three
ms() {
	name=$1; shift
	best=
	for i in 1 2 3; do
		t0=$(now_ms); "$@" > /dev/null; t1=$(now_ms)
		best=$(awk -v a="$t0" -v b="$t1" -v m="${best:-1e9}" 'BEGIN { t = b - a; print t < m ? t : m }')
	done
	awk -v name="$name" -v t="$best" 'BEGIN { printf "%-58s %9.1f ms\n", name, t }'
}

data=
for f in "${DATA:-}/pool.csv.gz" "${DATA:-}/debian/pool.csv.gz"; do [ -n "${DATA:-}" ] && [ -e "$f" ] && data=$f; done
if [ -z "$data" ]; then
	data=$dir/made-up.csv
	awk 'BEGIN { srand(1); print "id,title,text"
		for (i = 0; i < 20000; i++) { t = ""
			for (w = 0; w < 30; w++) t = t " w" int(20000 * rand() ^ 3)
			printf "t%d,title %d,%s\n", i, i, t } }' > "$data"
fi
hare-embed fit -o "$dir/model" -c title,text "$data"
hare-embed -m "$dir/model" -c title,text "$data" > "$dir/x.csv"
hare-embed --vec b64 -m "$dir/model" -c title,text "$data" > "$dir/b64.csv"
hare-pool build -m "$dir/model" -o "$dir/pool" "$dir/x.csv"
hare-pool info "$dir/pool" | grep -E '^(rows|dim|bytes),' | tr '\n' ' '
echo "; $(nproc) processors"
ms "build, vectors as text" hare-pool build -m "$dir/model" -o "$dir/p" "$dir/x.csv"
ms "build, vectors as text, one thread" hare-pool build --threads 1 -m "$dir/model" -o "$dir/p" "$dir/x.csv"
ms "build, vectors in base64" hare-pool build -m "$dir/model" -o "$dir/p" "$dir/b64.csv"
hare-pool dump --npy "$dir/x.npy" "$dir/pool"
hare-pool dump --no-x "$dir/pool" > "$dir/texts.csv"
ms "build, vectors from NPY" hare-pool build -m "$dir/model" -o "$dir/p" --vectors "$dir/x.npy" "$dir/texts.csv"
n=0
grown() { n=$((n + 1)); hare-pool add -m "$dir/model" -p "$dir/p" "$dir/new.$n.csv"; }
for i in 1 2 3; do
	hare-pool dump "$dir/pool" | awk -v n=$i -F, -v OFS=, 'NR == 1 { cells = NF; print; next } !/"/ && NF == cells && k < 100 { $1 = "new-" n "-" ++k; print }' > "$dir/new.$i.csv"
done
ms "add of $(($(wc -l < "$dir/new.1.csv") - 1)) rows" grown
ms "check" hare-pool check "$dir/pool"
ms "info" hare-pool info "$dir/pool"
ms "get of one id, whole process" hare-pool get "$dir/pool" "$(sed -n 2p "$dir/texts.csv" | cut -d, -f1)"
ms "dump" hare-pool dump "$dir/pool"
ms "merge into one segment" hare-pool merge -o "$dir/q" "$dir/p"

# Memory does not follow the texts: a million rows of short and of longer ones, in two dimensions.
printf 'text\nred apple\nblue sea\ngreen tree\n' | hare-embed fit -o "$dir/small" -d 2 --min-df 1
for size in 10 500; do
	awk -v size=$size 'BEGIN { t = sprintf("%" size "s", ""); print "id,text,x"
		for (i = 0; i < 1000000; i++) print "row-" i "," t ",0.6 0.8" }' |
		/usr/bin/python3 -c 'import resource, subprocess, sys, time
t = time.time()
subprocess.run(sys.argv[2:], check=True)
print("a million rows, texts of %3s bytes %34.1f s %9.1f MB at most" % (sys.argv[1], time.time() - t,
    resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024))' $size hare-pool build -m "$dir/small" -o "$dir/large"
	rm -f "$dir/large"
done
