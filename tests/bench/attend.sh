#!/bin/sh
# Speed of hare-attend: one query from cold, then 1, 16, 256 and 2,048 queries, of strangers and of known users.
# usage: BUILD=build [DATA=folder] tests/bench/attend.sh      DATA (or DATA/debian) may hold pool.csv.gz: id,title,text
set -eu
cd "$(dirname "$0")/../.."
PATH="$PWD/${BUILD:-build}:$PATH"; export PATH
[ -x "${BUILD:-build}/bench/machine" ] || make -s "BUILD=${BUILD:-build}" "${BUILD:-build}/bench/machine"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM

now_ms() { echo $(($(date +%s%N) / 1000)) | awk '{ printf "%.2f", $1 / 1000 }'; }
# ms NAME N command...: the best of three, as ms and queries/s
ms() {
	name=$1 n=$2; shift 2
	best=
	for i in 1 2 3; do
		t0=$(now_ms); "$@" > /dev/null; t1=$(now_ms)
		best=$(awk -v a="$t0" -v b="$t1" -v m="${best:-1e9}" 'BEGIN { t = b - a; print t < m ? t : m }')
	done
	awk -v name="$name" -v n="$n" -v t="$best" 'BEGIN { printf "%-58s %9.1f ms %9.0f queries/s\n", name, t, 1000 * n / t }'
}

"${BUILD:-build}/bench/machine"
data=
for f in "${DATA:-}/pool.csv.gz" "${DATA:-}/debian/pool.csv.gz"; do [ -n "${DATA:-}" ] && [ -e "$f" ] && data=$f; done
if [ -z "$data" ]; then
	# 20,000 texts of words that are as unequal as those of a language
	data=$dir/made-up.csv
	awk 'BEGIN { srand(1); print "id,title,text"
		for (i = 0; i < 20000; i++) { t = ""
			topic = int(rand() * 40)
			for (w = 0; w < 30; w++) t = t " w" (rand() < .5 ? topic * 50 + int(50 * rand() ^ 2) : 2000 + int(20000 * rand() ^ 3))
			printf "t%d,title %d,%s\n", i, i, t } }' > "$data"
fi
hare-embed fit -o "$dir/model" -c title,text "$data"
hare-embed -m "$dir/model" -c title,text "$data" | hare-pool build -m "$dir/model" -o "$dir/pool"
# queries: the titles and first words of texts of the pool, by twenty users
hare-embed -m "$dir/model" -c title,text "$data" | awk -F, 'NR > 1 && $1 ~ /^[A-Za-z0-9.+-]*$/ { print $1 "," $NF }' |
	awk -F, 'NR % 7 == 0 && n < 2048 { print "u" n % 20 "," $1 "," $2; n++ }' > "$dir/rows"
{ echo user,asked,x; cat "$dir/rows"; } > "$dir/2048.csv"
for n in 1 16 256; do head -n $((n + 1)) "$dir/2048.csv" > "$dir/$n.csv"; done
{ echo user,item,reward; awk -F, '{ print $1 "," $2 "," (NR * 7) % 3 % 2 }' "$dir/rows"; } > "$dir/rewards.csv"
hare-update -m "$dir/model" -s "$dir/state" -p "$dir/pool" "$dir/rewards.csv"
hare-pool info "$dir/pool" | grep -E '^(rows|dim),' | tr '\n' ' '
echo "; $(($(wc -l < "$dir/rewards.csv") - 1)) rewards of 20 users; $(nproc) processors"

# The files leave the page cache where the system lets them.
cold() {
	for f in "$dir/model" "$dir/pool"; do dd of="$f" oflag=nocache conv=notrunc,fdatasync count=0 2> /dev/null || :; done
	t0=$(now_ms); hare-attend -m "$dir/model" -p "$dir/pool" "$dir/1.csv" > /dev/null; t1=$(now_ms)
	awk -v a="$t0" -v b="$t1" 'BEGIN { printf "%-58s %9.1f ms\n", "one query, files dropped from the cache", b - a }'
}
cold
for n in 1 16 256 2048; do
	ms "$n queries, whole process, strangers" $n hare-attend -m "$dir/model" -p "$dir/pool" "$dir/$n.csv"
	ms "$n queries, whole process, known users" $n hare-attend -m "$dir/model" -p "$dir/pool" -s "$dir/state" "$dir/$n.csv"
done
ms "2048 queries, strangers, one thread" 2048 hare-attend --threads 1 -m "$dir/model" -p "$dir/pool" "$dir/2048.csv"
ms "2048 queries, strangers, z in base64, no x" 2048 \
	hare-attend --vec b64 --no-x -m "$dir/model" -p "$dir/pool" "$dir/2048.csv"
