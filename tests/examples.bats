#!/usr/bin/env bats
# What the pages tell people to paste, pasted: every block of EXAMPLES, in a folder with the files that it names.
bats_require_minimum_version 1.5.0
load server

setup_file() {
	server_start
	cd "$BATS_FILE_TMPDIR"
	mkdir desk
	cd desk
	cp "$BATS_TEST_DIRNAME/data/skills.csv" .
	hare-embed fit -o skills.model -c title,description skills.csv
	hare-embed -m skills.model -c title,description skills.csv | hare-pool build -m skills.model -o skills.pool
	cp skills.model my.model
	sed '1s/category/section/; s/,teaching,/,games,/' skills.csv | hare-embed -m skills.model -c title,description |
		hare-pool build -m skills.model -o all.pool
	printf 'id,title,description\nnew-skill,A new skill,Tests of a new service\n' > new.csv
	printf 'id,user,query\n1,ann,how do I test this?\n2,bob,make it faster\n' > questions.csv
	cp questions.csv asked.csv
	cp questions.csv q.csv
	cp new.csv today.csv
	head -4 skills.csv > texts.csv
	printf 'event,user,query\n1,ann,how do I test this?\n2,ann,make it faster\n3,bob,help\n' > events.csv
	printf 'event,item\n1,fuzz-tests-for-a-parser\n3,authorization-matrix-tests\n' > relevance.csv
	cp events.csv others.csv
	cp relevance.csv others-clicks.csv
	printf 'user,item,reward,time\nann,fuzz-tests-for-a-parser,1,1700000000\nbob,authorization-matrix-tests,0,1700000060\n' > clicks.csv
	cut -d, -f1-3 clicks.csv > rewards.csv
	for day in monday tuesday; do
		hare-update -m skills.model -p skills.pool -s $day.state --source $day rewards.csv
		awk -v day=$day -F, 'NR == 1 || /^(film|music)/ { if (NR > 1) sub(/^/, day "-"); print }' "$BATS_TEST_DIRNAME/data/courses.csv" |
			hare-embed -m skills.model -c title | hare-pool build -m skills.model -o $day.pool
	done
	cp monday.state team.state
	hare-embed -m skills.model -c query questions.csv | hare-attend -m skills.model -p skills.pool > attended.csv
	printf 'query,items,weights,output\nhow do I test this?,fuzz-tests-for-a-parser,1,Write a harness.\n' |
		hare-train distil -q -p skills.pool -o skills.decoder --layers 1 --dim 16 --heads 2 --tokens 300 --steps 1 --held-out 0
	hare-train decoder -q -m skills.model -o deb.decoder --input-column description --output-column title --user-column category \
		--layers 1 --dim 16 --heads 2 --tokens 300 --steps 1 --held-out 0 skills.csv
	sed '1s/description/text/' skills.csv | gzip > pool.csv.gz
	printf 'id,author,input,target\na,x,Tests of a parser,Parser tests\nb,y,How to plan a week,Week plans\n' > samples.csv
	printf 'sample_id,item_id\na,fuzz-tests-for-a-parser\nb,authorization-matrix-tests\n' > profile.csv
	printf 'a 1 0 0\nthe 0.9 0.1 0\nand 0 1 0\nfor 0 0 1\nof 0 0.5 0.5\nin 0.5 0 0.2\nwith 0.1 0.4 0\nthat 0.2 0.2 0.9\nto 0.3 0 0.9\n' | gzip > glove.6B.100d.txt.gz
	printf 'question %s of %s\n' "what is {query}" '{user} {items}' > question.txt
}
teardown_file() { server_stop; }

setup() {
	cp -r "$BATS_FILE_TMPDIR/desk" "$BATS_TEST_TMPDIR/desk"
	cd "$BATS_TEST_TMPDIR/desk"
	unset HARE_MODEL HARE_POOL HARE_STATE HARE_ENDPOINT
	failures=
}

# The blocks of a page's EXAMPLES, as block.1, block.2, ...; servers of the examples are that of the tests.
blocks() {
	awk -v name="$1" '/^\.Sh / { on = /EXAMPLES/ } on && /^\.Bd/ { f = "block." ++n; next } /^\.Ed/ { f = "" } f { print > f }' "$2"
	sed -i 's/\\e/\\/g; s/\\-/-/g; s/\\&//g; s/\\(aq/'"'"'/g; s/\\(dq/"/g; s,http://localhost:8080,'"$url"',g' block.*
}

paste_page() {
	local b
	rm -f block.*
	blocks "$1" "$BATS_TEST_DIRNAME/../man/$1"
	[ -e block.1 ] || { echo "$1 has no examples"; return 1; }
	# one story, told with one environment
	[ "$1" != hare.7 ] || { cat block.* > whole; rm block.*; mv whole block.1; }
	for b in $(ls block.* | sort -t. -k2n); do
		if grep -q '^from safetensors\|^import json' $b; then
			if grep -q safetensors $b; then /usr/bin/python3 -c 'import safetensors' 2> /dev/null || continue; fi
			/usr/bin/python3 $b > "$BATS_TEST_TMPDIR/out" 2> "$BATS_TEST_TMPDIR/err" || failures+="$b: $(cat $b "$BATS_TEST_TMPDIR/err")"$'\n'
			continue
		fi
		# numpy's vectors are the reader's own
		if grep -q 'numpy.save("x.npy", vectors)' $b; then
			sed -i 's/import numpy;/import numpy; vectors = numpy.ones((3, int(open("dim").read())));/; s/^python3/\/usr\/bin\/python3/' $b
			hare-pool info skills.pool | sed -n 's/^dim,//p' > dim
		fi
		sed -i 's/\<python3 /\/usr\/bin\/python3 /g; s,/usr/bin//usr/bin,/usr/bin,' $b
		sed -i 's/--minutes [0-9]*/--steps 1/' $b       # what is learnt here need be no good
		if grep -q mlr $b; then command -v mlr > /dev/null || continue; fi
		if grep -q '| jq' $b; then command -v jq > /dev/null || continue; fi
		bash -euo pipefail $b > "$BATS_TEST_TMPDIR/out" 2> "$BATS_TEST_TMPDIR/err" || failures+="$b: status $?: $(cat $b "$BATS_TEST_TMPDIR/err")"$'\n'
		# -v is there to say more; that a state is not there yet is said
		grep -v "not there yet\|have no known word\|$(grep -q -- ' -v ' $b && echo . || echo '^$')" "$BATS_TEST_TMPDIR/err" > said || true
		[ ! -s said ] || failures+="$b says: $(cat said)"$'\n'
	done
	printf '%s' "$failures"
	[ -z "$failures" ]
}

@test "the examples of hare-embed(1) run" { paste_page hare-embed.1; }
@test "the examples of hare-pool(1) run" { paste_page hare-pool.1; }
@test "the examples of hare-attend(1) run" { paste_page hare-attend.1; }
@test "the examples of hare-update(1) run" { paste_page hare-update.1; }
@test "the examples of hare-decode(1) run" { paste_page hare-decode.1; }
@test "the examples of hare-state(1) run" { paste_page hare-state.1; }
@test "the examples of hare-eval(1) run" { paste_page hare-eval.1; }
@test "the examples of hare(7) run" { paste_page hare.7; }
@test "the examples of the formats' pages run" {
	for p in hare-model.5 hare-pool.5 hare-state.5; do paste_page $p; done
}

# The examples of --help: lines behind "examples:", indented; a line that ends in | or \ goes on.
@test "the examples of --help run" {
	for p in embed pool attend update decode state eval; do
		hare-$p --help > help
		for v in $(sed -n '/^verbs:$/,/^$/s/^  \([a-z-]*\) .*/\1/p' help); do hare-$p $v --help; done >> help
		awk '/^examples:$/ { on = 1; next } !/^ / { on = 0 } on' help | sed 's,http://localhost:8080,'"$url"',g' > block.help
		awk -v p=$p 'BEGIN { n = 1 } { print > ("example." p "." n) } !/[|\\]$/ { n++ }' block.help
	done
	for b in example.*; do
		rm -rf ../try
		cp -r . ../try
		grep -v -- '--help' $b > ../try/paste || continue
		(cd ../try && rm -f copy.state copy.pool all.pool && bash -euo pipefail paste > ../out 2> ../err) || failures+="$b: status $?: $(cat $b ../err)"$'\n'
	done
	printf '%s' "$failures"
	[ -z "$failures" ]
}
