bats_require_minimum_version 1.5.0

setup_file() {
	cd "$BATS_FILE_TMPDIR"
	data="$BATS_TEST_DIRNAME/data"
	hare-embed fit -o m -d 16 --clusters 4 --seed 1 -c title,description < "$data/skills.csv"
	hare-embed -m m -c title,description < "$data/skills.csv" | hare-pool build -m m -o p
	# 40 people of two kinds, who ask the same and take other things
	/usr/bin/python3 - "$data/skills.csv" > log.csv <<-'PY'
		import csv, random, sys
		random.seed(4)
		rows = list(csv.DictReader(open(sys.argv[1], encoding="utf-8")))
		kinds = sorted({r["category"] for r in rows})[:2]
		of = [[r["id"] for r in rows if r["category"] == k] for k in kinds]
		print("user,query,item,reward,propensity")
		for i in range(800):
		    u = random.randrange(40)
		    item = random.choice(of[u % 2])
		    print(f"u{u},{random.choice(['help me please', 'what is next today', 'show me tests'])},{item},{int(random.random() < .9)},{random.choice([.25, .5, 1])}")
	PY
	hare-embed -q -m m -c query log.csv > x.csv
	hare-train attention -m m -p p -o t x.csv
	hare-embed -m t --as item -c title,description < "$data/skills.csv" | hare-pool build -m t -o tp
}
setup() {
	cd "$BATS_TEST_TMPDIR"
	m="$BATS_FILE_TMPDIR/m"; p="$BATS_FILE_TMPDIR/p"; x="$BATS_FILE_TMPDIR/x.csv"; t="$BATS_FILE_TMPDIR/t"; tp="$BATS_FILE_TMPDIR/tp"
	data="$BATS_TEST_DIRNAME/data"
}

@test "train: a run that goes well says nothing; -v tells what was learnt" {
	run --separate-stderr hare-train attention -m "$m" -p "$p" -o out --rounds 1 "$x"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	[ -z "$stderr" ]
	run --separate-stderr hare-train attention -v -m "$m" -p "$p" -o out --rounds 1 "$x"
	[[ "$stderr" == *"of 40 users, 3 queries"* ]]
}
@test "train: the same log and seed give the same bytes, whatever the threads; another seed others" {
	hare-train attention -m "$m" -p "$p" -o a --rounds 2 --threads 1 "$x"
	hare-train attention -m "$m" -p "$p" -o b --rounds 2 --threads 2 < "$x"
	cmp a b
	hare-train attention -m "$m" -p "$p" -o c --rounds 2 --seed 5 "$x"
	run ! cmp -s a c
}
@test "train: a trained model is a space of its own; the old pool is refused with both named" {
	printf 'x\n' > q.csv
	run -65 --separate-stderr hare-attend -m "$t" -p "$p" q.csv
	[[ "$stderr" == *"space"* ]]
}
@test "train: texts that are items make unit vectors, and a pool takes them; queries do not" {
	n=$(hare-embed -m "$t" --as item -c title,description "$data/skills.csv" | mlr --icsv --onidx head -n 1 then cut -f x | wc -w)
	run -0 hare-pool info "$tp"
	[[ "$output" == *"$n"* ]]
	hare-embed -m "$t" -c title,description < "$data/skills.csv" > asked.csv
	run -65 --separate-stderr hare-pool build -m "$t" -o bad < asked.csv
	[[ "$stderr" == *"column x"*"length"* ]]
}
@test "train: what both kinds of people took comes first; whose comes first follows from ten rewards" {
	printf 'user,query\nnew,help me please\n' > q.csv
	hare-embed -q -m "$t" -c query q.csv | hare-attend -m "$t" -p "$tp" -k 10 | mlr --icsv --onidx cut -f items | tr ' ' '\n' > items
	[ "$(wc -l < items)" -eq 10 ]
	head -n 1 "$BATS_FILE_TMPDIR/log.csv" > mine.csv
	awk -F, '$1 == "u1" && $4 == 1' "$BATS_FILE_TMPDIR/log.csv" | head -n 10 >> mine.csv
	hare-embed -q -m "$t" -c query mine.csv | hare-update -m "$t" -p "$tp" -s s
	sed 's/new/u1/' q.csv | hare-embed -q -m "$t" -c query | hare-attend -m "$t" -p "$tp" -s s -k 5 | mlr --icsv --onidx cut -f items | tr ' ' '\n' > mine.items
	awk -F, 'NR > 1 && substr($1, 2) % 2 == 1 { print $3 }' "$BATS_FILE_TMPDIR/log.csv" | sort -u > taken
	[ "$(sort mine.items | comm -12 - taken | wc -l)" -ge 4 ]
}
@test "train: every part can be left out" {
	for o in --no-items --no-queries --no-users --no-maps; do
		hare-train attention -m "$m" -p "$p" -o "out$o" --rounds 1 "$o" "$x"
	done
	hare-train query -m "$m" -p "$p" -o q --rounds 1 "$x"
	hare-train prior -m "$m" -p "$p" -o pr --rounds 1 "$x"
	n=$(cksum out--* q pr | cut -d' ' -f1 | sort -u | wc -l)
	[ "$n" -eq 6 ]
}
@test "train: what texts alone say lies beside what is learnt, or does not" {
	hare-train attention -m "$m" -p "$p" -o bare --rounds 1 "$x"
	hare-train attention -m "$m" -p "$p" -o both --rounds 1 --plain .25 "$x"
	n=$(for w in bare both; do hare-embed -m $w --as item -c title "$data/skills.csv" | mlr --icsv --onidx head -n 1 then cut -f x | wc -w; done)
	[ "$n" = $'17\n33' ]
	# the second half is the embedding's own, by the root of its share
	hare-embed -m both --as item -c title "$data/skills.csv" | mlr --icsv --onidx head -n 3 then cut -f x | awk '{ for (i = 17; i <= 32; i++) print 2 * $i }' > got
	hare-embed -m "$m" -c title "$data/skills.csv" | mlr --icsv --onidx head -n 3 then cut -f x | tr ' ' '\n' > wanted
	paste got wanted | awk 'function abs(a) { return a < 0 ? -a : a } abs($1 - $2) > 1e-5 { bad = 1 } END { exit bad || NR != 48 }'
	hare-train attention -v -m "$m" -p "$p" -o chosen --rounds 1 --strangers "$x" 2> told
	grep -Eq 'plain (0|0.25|0.5|0.75)$' told
	run -64 hare-train attention -m "$m" -p "$p" -o out --plain .5 --strangers "$x"
	for w in -1 1 nan; do run -64 hare-train attention -m "$m" -p "$p" -o out --plain $w "$x"; done
}
@test "train: bad rows are named by line and column" {
	printf 'user,x,item\na,1 0,sk1\n' > short.csv
	run -65 --separate-stderr hare-train attention -m "$m" -p "$p" -o out short.csv
	[[ "$stderr" == *"short.csv:2: column x: expected 16 numbers, got 2"* ]]
	sed '2s/u[0-9]*,/u,/; 3s/,[^,]*,\([01]\),/,nothing,\1,/' "$x" > unknown.csv
	run -65 --separate-stderr hare-train attention -m "$m" -p "$p" -o out unknown.csv
	[[ "$stderr" == *'unknown.csv:3: column item: no item "nothing" in the pool'* ]]
	[ ! -e out ]
}
@test "train: a model that is trained already is refused" {
	run -65 --separate-stderr hare-train attention -m "$t" -p "$tp" -o out "$x"
	[[ "$stderr" == *"is trained already"* ]]
}
@test "train: usage" {
	run -64 hare-train attention -m "$m" -p "$p" "$x"
	run -64 hare-train attention -m "$m" -p "$p" -o out --gain 0 "$x"
	run -64 hare-train nothing
	run -64 hare-train
}
@test "train: evidence writes a model of the same space with other constants, which everything takes" {
	cut -d, -f1,3,4 "$x" > rewards.csv
	run --separate-stderr hare-train evidence -v -m "$m" -p "$p" -o fitted rewards.csv
	[ "$status" -eq 0 ]
	[[ "$stderr" == *"800 rewards of 40 users"* ]]
	run ! cmp -s fitted "$m"
	printf 'query\nhelp with tests\n' | hare-embed -q -m fitted -c query | hare-attend -m fitted -p "$p" > a.csv
	[ "$(wc -l < a.csv)" -eq 2 ]
	hare-train evidence -m "$t" -p "$tp" -o fitted2 rewards.csv
	hare-embed -q -m fitted2 --as item -c title "$data/skills.csv" | head -n 3 > one.csv
	hare-embed -q -m "$t" --as item -c title "$data/skills.csv" | head -n 3 | cmp - one.csv
	hare-train evidence -m "$m" -p "$p" -o heard --hear --half-life "$x"
	run -65 --separate-stderr hare-train evidence -m "$m" -p "$p" -o none --hear rewards.csv
	[[ "$stderr" == *"x"* ]]
	[ ! -e none ]
}
