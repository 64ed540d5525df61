#!/bin/sh
# What the small decoder of scripts/demo writes: twelve questions by a newcomer and five people, with and without --faithful;
# how unlike the texts of two people are, whose profile each is nearest to, what is copied, what is in no item; and its speed.
# usage: BUILD=build tests/bench/written.sh      CUSTOM=FILE: measure another DECODER
set -eu
cd "$(dirname "$0")/../.."
PATH="$PWD/${BUILD:-build}:$PATH"; export PATH
case ${BUILD:-build} in /*) PATH="$BUILD:$PATH" ;; esac
OPENBLAS_NUM_THREADS=1; export OPENBLAS_NUM_THREADS
python=/usr/bin/python3
[ -x $python ] || python=python3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
data=tests/data decoder=${CUSTOM:-tests/data/demo/skills.decoder}
text=title,category,description,trigger,instructions
hare-embed fit -o "$dir/model" -c $text $data/skills.csv
hare-embed -m "$dir/model" -c $text $data/skills.csv | hare-pool build -m "$dir/model" -o "$dir/pool"
hare-update -m "$dir/model" -p "$dir/pool" -s "$dir/state" $data/demo/history.csv
{
	echo user,query
	while read -r query; do
		for user in newcomer sam dana fiona tom olga; do echo "$user,$query"; done
	done <<-END
	I need help writing tests
	How do I plan my week?
	I want to write a report
	I need help with feedback
	How do I find a mistake?
	I need a checklist
	How do I make it faster?
	I want to learn something new
	How do I measure success?
	What should I do first on Monday?
	Prepare a meeting
	I need help reviewing work of others
	END
} | hare-embed -q -m "$dir/model" -c query | hare-attend -m "$dir/model" -p "$dir/pool" -s "$dir/state" > "$dir/attended"
for how in '' --faithful; do
	echo "# -m ${how:+and }$how"
	hare-decode -p "$dir/pool" -s "$dir/state" -m "$decoder" $how "$dir/attended" > "$dir/written"
	$python tests/bench/written.py "$dir/written" $data/skills.csv $data/demo/history.csv
done
echo "# --blend, 40 words"
hare-decode -p "$dir/pool" --words 40 "$dir/attended" > "$dir/written"
$python tests/bench/written.py "$dir/written" $data/skills.csv $data/demo/history.csv

now_us() { echo $(($(date +%s%N) / 1000)); }
# best NAME N command...: the best of nine
best() {
	name=$1 n=$2; shift 2
	least=
	for i in 1 2 3 4 5 6 7 8 9; do
		t0=$(now_us); "$@" > /dev/null; t1=$(now_us)
		[ -n "$least" ] && [ $((t1 - t0)) -ge "$least" ] || least=$((t1 - t0))
	done
	awk -v name="$name" -v n="$n" -v t="$least" 'BEGIN { printf "%-58s %9.1f ms\n", name, t / 1000 / n }'
}
head -n 2 "$dir/attended" > "$dir/one"
best "one record from a cold process, one token of its text" 1 hare-decode -p "$dir/pool" -m "$decoder" --max-tokens 1 "$dir/one"
best "the same, all of its text, four beams" 1 hare-decode -p "$dir/pool" -m "$decoder" "$dir/one"
best "each of 72 records, one thread, four beams" 72 hare-decode -p "$dir/pool" -m "$decoder" --threads 1 "$dir/attended"
