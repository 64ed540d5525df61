#!/bin/sh
# Memory: what fit needs beside its text; what filters need for many records. RECORDS: 10 million unless set.
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
peak() { /usr/bin/env time -f '%M' -o "$work/rss" "$@"; }
command -v time > /dev/null 2>&1 || [ -x /usr/bin/time ] || { echo "bench failed: needs the program time"; exit 0; }
n=${RECORDS:-10000000}
zcat "$DATA/pool.csv.gz" > "$work/pool.csv"
bytes=$(mlr --icsv --ocsv cut -f title,text "$work/pool.csv" | wc -c)
peak hare-embed fit -o "$work/model" -c title,text "$work/pool.csv"
awk -v k="$(cat "$work/rss")" -v b="$bytes" 'BEGIN { printf "fit: peak %.0f MB for %.1f MB of text, %.1f times\n", k / 1024, b / 1048576, k * 1024 / b }'
hare-embed -m "$work/model" -c title,text "$work/pool.csv" | hare-pool build -m "$work/model" -o "$work/pool"
hare-embed fit -o "$work/small" -d 16 -c title,text "$work/pool.csv"
hare-embed -m "$work/small" -c title,text "$work/pool.csv" | mlr --icsv --ocsv head -n 500 > "$work/s.csv"
hare-pool build -m "$work/small" -o "$work/small.pool" "$work/s.csv"

id=$(mlr --icsv --onidx head -n 1 then cut -f id "$work/s.csv")
records() { awk -v n="$n" -v id="$id" 'BEGIN { print "user,query,item,reward"; for (i = 0; i < n; i++) printf "u%d,play music number %d,%s,%d\n", i % 1000, i % 7919, id, i % 2 }'; }
records | peak hare-embed -m "$work/small" -c query > /dev/null
echo "hare-embed:  $n records, peak $(($(cat "$work/rss") / 1024)) MB"
records | head -n 1000001 | hare-embed -m "$work/small" -c query | peak hare-attend -m "$work/small" -p "$work/small.pool" > /dev/null
echo "hare-attend: 1000000 records, peak $(($(cat "$work/rss") / 1024)) MB"
records | peak hare-update -m "$work/small" -p "$work/small.pool" -s "$work/state"
echo "hare-update: $n records, peak $(($(cat "$work/rss") / 1024)) MB"
