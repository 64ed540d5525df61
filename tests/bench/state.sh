#!/bin/sh
# The state file: batches, one update, lookups, merging, size; kills, power cuts and damage in numbers.
# FAULTS: how many times the counts of tests/state-faults.bats (5 unless set).
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
tool=$BUILD/bench/state
[ -x /usr/bin/time ] || { echo "bench failed: needs the program time"; exit 0; }
run() { /usr/bin/time -f '%e %M %U %S' -o "$work/time" "$@"; }
batch() { awk -v n=1000000 -v w="$1" '{ printf "%-34s %.2f s, %.0f events/s, peak %.0f MB, cpu %.2f s\n", w, $1, n / $1, $2 / 1024, $3 + $4 }' "$work/time"; }

for p in 32 128; do "$tool" events 1000000 100000 $p > "$work/e$p.csv"; done
cat "$work/e32.csv" > /dev/null
for b in 64 120; do
	rm -f "$work/s"
	run hare-update -s "$work/s" --feature x --dim 32 --buffer $b < "$work/e32.csv"
	batch "p = 32, --buffer $b"
done
size() { awk -v f="$(stat -c %s "$1")" -v p="$("$tool" payload "$1")" 'BEGIN { printf "  file %.1f MB, %.3f of its payload\n", f / 1e6, f / p }'; }
size "$work/s"
rm -f "$work/s128"
run hare-update -s "$work/s128" --feature x --dim 128 --buffer 112 < "$work/e128.csv"
batch "p = 128, --buffer 112"
size "$work/s128"

head -n 2 "$work/e32.csv" > "$work/one.csv"
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21; do
	/usr/bin/env bash -c 'a=$(date +%s%N); hare-update -s "$0" --feature x --dim 32 < "$1"; b=$(date +%s%N); echo $(((b - a) / 1000))' "$work/s" "$work/one.csv"
done | sort -n | awk '{ v[NR] = $1 } END { printf "one update, fresh process           median %.1f ms, worst %.1f ms (of %d)\n", v[int((NR + 1) / 2)] / 1e3, v[NR] / 1e3, NR }'
if command -v perf > /dev/null 2>&1; then
	for i in 1 2 3 4 5 6 7 8 9; do
		a=$(perf stat -x, -e task-clock hare-update -s "$work/s" --feature x --dim 32 2>&1 > /dev/null < "$work/one.csv" | cut -d, -f1)
		b=$(perf stat -x, -e task-clock hare-update --version 2>&1 > /dev/null | cut -d, -f1)
		echo "$a $b"
	done | sort -n | awk '{ a[NR] = $1; b[NR] = $2 } END { m = int((NR + 1) / 2); printf "  processor %.1f ms, of which %.1f ms starting a program with this BLAS\n", a[m], b[m] }' || true
fi
if command -v strace > /dev/null 2>&1; then
	strace -f -c -e trace=fsync,fdatasync -o "$work/trace" hare-update -s "$work/s" --feature x --dim 32 < "$work/one.csv"
	awk '$NF == "fsync" || $NF == "fdatasync" { n += $4 } END { printf "  syncs %d\n", n }' "$work/trace"
fi

printf 'idle:            '; "$tool" lookups "$work/s" 5
(while [ ! -e "$work/stop" ]; do head -n 200001 "$work/e32.csv" | hare-update -s "$work/s" --feature x --dim 32 --buffer 16; done) &
writer=$!
sleep 1
printf 'beside a writer: '; "$tool" lookups "$work/s" 10
touch "$work/stop"; wait $writer

awk 'NR == 1 || NR % 2' "$work/e32.csv" | hare-update -s "$work/a" --feature x --dim 32
awk 'NR == 1 || NR % 2 == 0' "$work/e32.csv" | hare-update -s "$work/b" --feature x --dim 32
run hare-state merge -o "$work/ab" "$work/a" "$work/b"
awk -v n="$(hare-state info -s "$work/ab" | sed -n 's/^users,//p')" '{ printf "merge of two halves                %.2f s, %.0f users/s, peak %.0f MB\n", $1, n / $1, $2 / 1024 }' "$work/time"
rm -f "$work"/s* "$work"/e* "$work/a" "$work/b" "$work/ab"

mkdir "$work/cut"; "$BUILD/bench/powercut" "$work/cut" 1000
rm -rf "$work/cut"; mkdir "$work/cut"; "$BUILD/bench/powercut" "$work/cut" 1000 --no-sync
echo "faults, ${FAULTS:-5} times the counts of the tests:"
HARE_FAULT_TIMES=${FAULTS:-5} bats --tap tests/state-faults.bats
