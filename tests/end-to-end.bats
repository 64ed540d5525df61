#!/usr/bin/env bats
# The whole main job, as README shows it, and the promises that only several programs together can keep.
bats_require_minimum_version 1.5.0

setup_file() {
	cd "$BATS_FILE_TMPDIR"
	export data="$BATS_TEST_DIRNAME/data"
	hare-embed fit -o m -c title,category,description,trigger,instructions "$data/skills.csv"
	hare-embed -m m -c title,category,description,trigger,instructions "$data/skills.csv" | hare-pool build -m m -o p
	hare-update -m m -p p -s s "$data/demo/history.csv"
	{ echo user,query
	  for u in $(cut -d, -f1 "$data/demo/history.csv" | tail -n +2 | sort -u) nobody; do echo "$u,I need help writing tests"; done
	} > q.csv
	hare-embed -m m -c query q.csv > x.csv
	hare-attend -m m -p p -s s x.csv > z.csv
	hare-decode -p p -s s z.csv > o.csv
}
setup() { cd "$BATS_FILE_TMPDIR"; }

@test "the attention of the programs is that of the formulas, recomputed in numpy from the files" {
	run -0 /usr/bin/python3 "$BATS_TEST_DIRNAME/twin.py" m p "$data/demo/history.csv" x.csv z.csv
	[[ "$output" == *"entropy: largest"* ]]
	# and where what was shown were answers to queries
	{ echo user,item,reward,query; tail -n +2 "$data/demo/history.csv" | awk '{ print $0 "," (NR % 4 ? "tests for " NR % 5 : "") (NR % 3 ? " security" : " a web page") }'; } |
		hare-embed -m m -c query > asked.csv
	hare-update -m m -p p -s s3 --no-clusters asked.csv
	hare-attend -m m -p p -s s3 x.csv > z3.csv
	run -0 /usr/bin/python3 "$BATS_TEST_DIRNAME/twin.py" m p asked.csv x.csv z3.csv
	[[ "$output" == *"entropy: largest"* ]]
	run ! cmp -s z.csv z3.csv
}
@test "five users with different histories get five different answers to one question" {
	[ "$(mlr --icsv --ojson cut -f output o.csv | jq 'unique_by(.output) | length')" -eq 6 ]
}
@test "every known user attends more narrowly than somebody without history" {
	run -0 mlr --icsv --onidx put -q 'if ($user == "nobody") { @new = $entropy } else { @most = is_absent(@most) ? $entropy : max(@most, $entropy) } end { print @most < @new }' o.csv
	[ "$output" = true ]
}
@test "every known user is less uncertain than somebody without history" {
	run -0 mlr --icsv --onidx put -q 'if ($user == "nobody") { @new = $uncertainty } else { @most = is_absent(@most) ? $uncertainty : max(@most, $uncertainty) } end { print @most < @new }' o.csv
	[ "$output" = true ]
}
@test "the same input gives the same bytes: model, pool, attention and answers" {
	hare-embed fit -o m2 -c title,category,description,trigger,instructions --threads 1 "$data/skills.csv"
	cmp m m2
	hare-embed -m m2 -c title,category,description,trigger,instructions --threads 1 "$data/skills.csv" | hare-pool build -m m2 -o p2
	cmp p p2
	hare-attend -m m2 -p p2 -s s --threads 1 x.csv | hare-decode -p p2 -s s > o2.csv
	cmp o.csv o2.csv
}
@test "answers do not depend on who else asks in the same batch" {
	head -n 1 x.csv > one.csv; sed -n 4p x.csv >> one.csv
	hare-attend -m m -p p -s s one.csv | tail -n 1 > a
	sed -n 4p z.csv > b
	cmp a b
}
@test "a question is answered at once, before the next one is asked" {
	mkfifo in
	( exec 3> in; printf 'user,query\nsam,tests\n' >&3; for i in $(seq 100); do [ -s answered ] && break; sleep 0.1; done; [ -s answered ] && echo yes > before_eof ) &
	hare-embed -m m -c query < in | hare-attend -m m -p p -s s | hare-decode -p p -s s | while IFS= read -r line; do
		case $line in sam,*) echo "$line" > answered ;; esac
	done
	wait
	[ -s before_eof ]
}
@test "a reward moves the answer of its user and of nobody else" {
	cp s s2
	item=$(mlr --icsv --onidx filter '$user == "sam"' then cut -f items z.csv | awk '{ print $2 }')
	for i in 1 2 3 4 5; do printf 'user,item,reward\nsam,%s,0\n' "$item"; done | grep -v '^user' | { echo user,item,reward; cat; } | hare-update -m m -p p -s s2
	hare-attend -m m -p p -s s2 x.csv > z2.csv
	[ "$(diff z.csv z2.csv | grep -c '^>')" -eq 1 ]
	diff z.csv z2.csv | grep -q '^> sam,'
}
@test "an empty column of users asks as nobody" {
	printf 'user,query\n,I need help writing tests\n' | hare-embed -m m -c query | hare-attend -m m -p p -s s | mlr --icsv --onidx cut -f entropy > a
	mlr --icsv --onidx filter '$user == "nobody"' then cut -f entropy z.csv > b
	cmp a b
}
@test "the lines that README begins with can be pasted, and do what they say" {
	mkdir paste; cd paste; ln -s "$BATS_TEST_DIRNAME" tests
	sed -n '/^    PATH=/,/^$/s/^    //p' "$BATS_TEST_DIRNAME/../README.md" | sed 's/^PATH=[^ ]* //; s/^ask </echo ----; ask </' > lines
	[ "$(wc -l < lines)" -ge 9 ]
	run -0 --separate-stderr bash -eu -o pipefail lines
	before="${output#*----}"; before="${before%%----*}" after="${output##*----}"
	# before: twice the same; after: two different answers
	[ "$(grep -c '\[pipeline-tests\]' <<< "$before")" -ge 2 ]
	[[ "$after" == *'[authorization-matrix-tests]'* ]]
	[[ "$after" == *'[data-quality-tests]'* ]]
}
