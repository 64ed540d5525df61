#!/bin/sh
# What does a decoder write that was learnt here, and what is it worth to know who asks?
# usage: BUILD=build DATA=folder [MINUTES=40] tests/bench/decoder.sh
# DATA holds pool.csv.gz (id,title,text,author) and, in one folder below it, samples.dev.csv and profile.dev.csv; authors.csv beside
# the pool says by split which authors are dev: their rows are not learnt from. Without these files a decoder of the pool alone is
# trained, and its loss and speed are all that is told.
# Takes MINUTES of two cores, and some ten minutes more.
set -u
out=$BUILD/bench/decoder
rm -rf "$out"; mkdir -p "$out" || exit 1
minutes=${MINUTES:-40}
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
# two that differ by what is drawn, side by side; the second needs no MODEL of its own
teach() {
	k=$1; shift
	hare-train decoder -v -m "$out/model" -o "$out/decoder.$k" --type int8 --seed "$k" --rate 1.5e-3 --patience 0 --minutes "$minutes" \
		--threads "$threads" "$@" "$out/train.csv" 2> "$out/log.$k"
}
threads=$(($(nproc) > 1 ? $(nproc) / 2 : 1))
teach 1 --dropout .15 & first=$!
teach 2 --dropout .2 --no-model & second=$!
wait "$first" && wait "$second" || fail "$(tail -qn 1 "$out/log.1" "$out/log.2")"
for k in 1 2; do echo "decoder $k, $minutes minutes: $(lines "$out/log.$k")"; done
echo "size of both DECODERs with their MODEL: $(cat "$out/decoder.1" "$out/decoder.2" | wc -c | awk '{ printf "%.1f", $1 / 1e6 }') MB"
titles() {
	hare-eval titles --inputs "$samples" --profiles "$d/profile.dev.csv" --pool "$DATA/pool.csv.gz" "$@"
}
start=$(date +%s)
titles -m "$out/decoder.1" -m "$out/decoder.2" -o "$out/titles.csv" || fail "no titles"
took=$(($(date +%s) - start))
echo "titles of $(($(wc -l < "$samples") - 1)) samples of dev authors, in $took s"
figures() {
	what=$1; shift
	titles --score target "$@" > "$out/figures.csv" || fail "no figures"
	echo; echo "dev, $what:"
	awk -F, 'NR > 1 { printf "%-22s %-12s %8.4f", $1, $2, $3; if ($4 != "") printf "  [%.4f, %.4f]", $4, $5; print "" }' "$out/figures.csv"
}
figures "both" -m "$out/decoder.1" -m "$out/decoder.2" --controls
figures "both, --faithful" -m "$out/decoder.1" -m "$out/decoder.2" --faithful
figures "both, the likeliest of four beams" -m "$out/decoder.1" -m "$out/decoder.2" --beam 4 --consensus 0
figures "the first alone" -m "$out/decoder.1"
figures "the second alone" -m "$out/decoder.2" --model "$out/model"
