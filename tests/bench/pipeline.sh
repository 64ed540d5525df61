#!/bin/sh
# The whole pipeline on real texts: embed | attend | decode --blend. Queries a second in bulk, one query from cold.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.3f", b - a }'; }
median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

t=$(now); hare-embed fit -o "$work/model" -c title,text "$DATA/pool.csv.gz"; echo "fit                        $(since "$t") s"
t=$(now); hare-embed -m "$work/model" -c title,text "$DATA/pool.csv.gz" | hare-pool build -q -m "$work/model" -o "$work/pool"
echo "embed | pool build         $(since "$t") s"
hare-pool info "$work/pool" | grep -E '^(rows|dim|bytes)' | tr '\n' ' '; echo

# 2,000 questions: first words of descriptions, for 50 users with 20 rewards each
hare-pool dump "$work/pool" | mlr --icsv --ocsv cut -o -f id,title then head -n 3000 > "$work/ids.csv"
mlr --icsv --ocsv head -n 2000 then put '$user = "u" . (NR % 50); $query = $title' then cut -o -f user,query "$work/ids.csv" > "$work/q.csv"
mlr --icsv --ocsv tail -n 1000 then put '$user = "u" . (NR % 50); $item = $id; $reward = NR % 3 == 0 ? 1 : 0' then \
	cut -o -f user,item,reward "$work/ids.csv" > "$work/r.csv"
t=$(now); hare-update -m "$work/model" -p "$work/pool" -s "$work/state" "$work/r.csv"; echo "update, 1,000 rewards      $(since "$t") s"

for run in 1 2 3 4 5; do
	t=$(now)
	hare-embed -m "$work/model" -c query "$work/q.csv" | hare-attend -m "$work/model" -p "$work/pool" -s "$work/state" |
	    hare-decode -p "$work/pool" -s "$work/state" > "$work/out.csv"
	since "$t"; echo
done | median | awk '{ printf "2,000 queries              %s s, %.0f queries/s (median of 5)\n", $1, 2000 / $1 }'
for part in embed attend decode; do
	case $part in
	embed) run='hare-embed -m "$work/model" -c query "$work/q.csv" > "$work/x.csv"' ;;
	attend) run='hare-attend -m "$work/model" -p "$work/pool" -s "$work/state" "$work/x.csv" > "$work/z.csv"' ;;
	decode) run='hare-decode -p "$work/pool" -s "$work/state" "$work/z.csv" > "$work/o.csv"' ;;
	esac
	for i in 1 2 3; do t=$(now); eval "$run"; since "$t"; echo; done | median |
	    awk -v p=$part '{ printf "  hare-%-8s alone       %s s, %.0f records/s\n", p, $1, 2000 / $1 }'
done
printf 'user,query\nu1,a program that checks the spelling of a text\n' > "$work/one.csv"
for run in 1 2 3 4 5 6 7 8 9; do
	t=$(now)
	hare-embed -m "$work/model" -c query "$work/one.csv" | hare-attend -m "$work/model" -p "$work/pool" -s "$work/state" |
	    hare-decode -p "$work/pool" -s "$work/state" > "$work/out.csv"
	since "$t"; echo
done | median | awk '{ printf "one query, cold processes  %.0f ms (median of 9, files in page cache)\n", $1 * 1000 }'
