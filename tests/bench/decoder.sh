#!/bin/sh
# What does a decoder write that was learnt here, and what is it worth to know who asks?
# usage: BUILD=build DATA=folder [MINUTES=30] tests/bench/decoder.sh
# DATA holds pool.csv.gz (id,title,text,author) and, in one folder below it, samples.dev.csv and profile.dev.csv; authors.csv beside
# the pool says by split which authors are dev: their rows are not learnt from. Without these files a decoder of the pool alone is
# trained, and its loss and speed are all that is told.
# Takes MINUTES of all cores, and two minutes more.
set -u
out=$BUILD/bench/decoder
rm -rf "$out"; mkdir -p "$out" || exit 1
minutes=${MINUTES:-30}
fail() { echo "bench failed: $*"; exit 0; }
lines() { grep '^step' "$1" | tail -n 1; }

samples=$(find "$DATA" -mindepth 2 -maxdepth 2 -name samples.dev.csv | head -n 1)
if [ -z "$samples" ] || [ ! -s "$DATA/authors.csv" ]; then
	hare-embed fit -q -o "$out/model" --terms 20000 -c title,text "$DATA/pool.csv.gz" &&
		hare-embed -q -m "$out/model" -c title,text "$DATA/pool.csv.gz" | hare-pool build -q -m "$out/model" -o "$out/pool" ||
		fail "no pool from DATA"
	hare-train decoder -v -m "$out/model" -p "$out/pool" -o "$out/decoder" --minutes "$minutes" 2> "$out/log" || fail "$(tail -n 1 "$out/log")"
	lines "$out/log"
	exit 0
fi
d=${samples%/*}
/usr/bin/python3 - "$DATA" > "$out/train.csv" <<'PY' || fail "no rows to learn from"
import csv, gzip, sys
csv.field_size_limit(1 << 30)
split = {r["author"]: r["split"] for r in csv.DictReader(open(sys.argv[1] + "/authors.csv", encoding="utf8"))}
w = csv.writer(sys.stdout, lineterminator="\n")
w.writerow(["input", "output", "user"])
for r in csv.DictReader(gzip.open(sys.argv[1] + "/pool.csv.gz", "rt", encoding="utf8", newline="")):
    if split[r["author"]] in ("train", "other"):
        w.writerow([r["text"], r["title"], r["author"]])
PY
hare-embed fit -q -o "$out/model" -d 128 --terms 20000 -c output,input "$out/train.csv" || fail "no MODEL"
hare-train decoder -v -m "$out/model" -o "$out/decoder" --type bf16 --dropout .15 --rate 1.5e-3 --patience 0 \
	--minutes "$minutes" "$out/train.csv" 2> "$out/log" ||
	fail "$(tail -n 1 "$out/log")"
echo "$minutes minutes: $(lines "$out/log")"
echo "size of the DECODER with its MODEL: $(($(wc -c < "$out/decoder") / 1000000)) MB"
start=$(date +%s)
hare-eval titles -m "$out/decoder" --inputs "$samples" --profiles "$d/profile.dev.csv" --pool "$DATA/pool.csv.gz" -o "$out/titles.csv" ||
	fail "no titles"
took=$(($(date +%s) - start))
echo "titles of $(($(wc -l < "$samples") - 1)) samples of dev authors, in $took s"
for how in "" --faithful "--beam 4 --consensus 0"; do
	hare-eval titles -m "$out/decoder" --inputs "$samples" --profiles "$d/profile.dev.csv" --pool "$DATA/pool.csv.gz" \
		--score target $([ -z "$how" ] && echo --controls) $how > "$out/figures.csv" || fail "no figures"
	echo; echo "dev ${how:-as it is}:"
	awk -F, 'NR > 1 { printf "%-22s %-12s %8.4f", $1, $2, $3; if ($4 != "") printf "  [%.4f, %.4f]", $4, $5; print "" }' "$out/figures.csv"
done
