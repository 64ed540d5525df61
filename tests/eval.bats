#!/usr/bin/env bats
# hare-eval: the same protocol for all, the measures as a few lines of Python count them
bats_require_minimum_version 1.5.0

setup_file() {
	cd "$BATS_FILE_TMPDIR"
	data=$BATS_TEST_DIRNAME/data
	hare-embed fit -q -o m -c title,category,description "$data/skills.csv"
	hare-embed -q -m m -c title,category,description "$data/skills.csv" | hare-pool build -m m -o p
	# six people with an interest each; relevant is what is of that category
	/usr/bin/python3 - "$data/skills.csv" <<-'END'
	import csv, random, sys
	random.seed(1)
	rows = list(csv.DictReader(open(sys.argv[1], newline='')))
	by = {}
	for r in rows: by.setdefault(r['category'], []).append(r['id'])
	cats = sorted(c for c in by if len(by[c]) >= 4)
	asked = ['I need help', 'write a test', 'something for a report', 'make it faster', 'plan the week', 'xyzzy']
	ev = csv.writer(open('events.csv', 'w', newline=''), lineterminator='\n')
	rel = csv.writer(open('relevance.csv', 'w', newline=''), lineterminator='\n')
	ev.writerow(['event', 'note', 'user', 'query']); rel.writerow(['event', 'item'])
	for t in range(35):
	    for u in range(6):
	        e = f'e{t}-{u}'
	        ev.writerow([e, 'never looked at', f'user {u}', random.choice(asked)])
	        for i in by[cats[u % len(cats)]]: rel.writerow([e, i])
	END
}

setup() {
	cd "$BATS_TEST_TMPDIR"
	d=$BATS_FILE_TMPDIR
	replay=(hare-eval replay -m "$d/m" -p "$d/p" --events "$d/events.csv" --relevance "$d/relevance.csv")
}

# all but what a clock tells
untimed() { grep -v '^time,'; }

@test "hits and their errors are those that a few lines of Python count from the rankings" {
	"${replay[@]}" --no-probes --system hare,linucb-user,memory --rankings r.csv > t.csv
	for s in hare linucb-user memory; do
		[ "$(head -n 1 r.$s.csv)" = event,rank,item ]
		/usr/bin/python3 - $s "$d/events.csv" "$d/relevance.csv" r.$s.csv t.csv <<-'END'
		import csv, sys
		import numpy as np
		system, events, relevance, rankings, tables = sys.argv[1:]
		rows = lambda path: list(csv.DictReader(open(path, newline='')))
		rel = {(r['event'], r['item']) for r in rows(relevance)}
		top = {}
		for r in rows(rankings): top.setdefault(r['event'], []).append((int(r['rank']), r['item']))
		got = {}
		t, seen = {}, {}
		for e in rows(events):
		    u, ev = e['user'], e['event']
		    t[u] = t.get(u, 0) + 1
		    shown = [i for _, i in sorted(top[ev])]
		    assert len(shown) == 5 == len(set(shown))
		    hit = [(ev, i) in rel for i in shown]
		    new = any(h and i not in seen.setdefault(u, set()) for h, i in zip(hit, shown))
		    seen.setdefault(u, set()).update(shown)
		    for name, lo, hi in (('1-10', 1, 10), ('11-30', 11, 30), ('31-100', 31, 100), ('all', 1, 1000)):
		        if lo <= t[u] <= hi:
		            for m, v in (('hit@1', hit[0]), ('hit@5', any(hit)), ('new@5', new)):
		                got.setdefault((m, name), {}).setdefault(u, []).append(float(v))
		told = {(r['measure'], r['block']): r for r in rows(tables) if r['table'] == 'hit' and r['system'] == system}
		assert told.keys() == got.keys(), (told.keys(), got.keys())
		for k, by in got.items():
		    m = np.array([np.mean(v) for v in by.values()])
		    assert abs(float(told[k]['value']) - m.mean()) < 2e-6, (k, told[k], m.mean())
		    assert abs(float(told[k]['error']) - m.std(ddof=1) / np.sqrt(len(m))) < 2e-6, k
		    assert int(told[k]['n']) == 6
		END
	done
}

@test "pairs are differences from the first system, user by user" {
	"${replay[@]}" --no-probes --system memory,hare > t.csv
	run -0 awk -F, '$1 == "hit" && $4 == "hit@5" && $5 == "all" { v[$2] = $6 } $1 == "pair" && $4 == "hit@5" && $5 == "all" { d = $6; who = $2 "-" $3 }
		END { x = v["hare"] - v["memory"] - d; print who, (x < 2e-6 && x > -2e-6) }' t.csv
	[ "$output" = "hare-memory 1" ]
}

@test "every system runs, and the number of threads changes nothing but the time" {
	"${replay[@]}" --threads 1 --rankings a.csv | untimed > one
	"${replay[@]}" --threads 3 --rankings b.csv | untimed > three
	cmp one three
	for s in hare thompson random prototype; do cmp a.$s.csv b.$s.csv; done
	run -0 awk -F, '$1 == "hit" && $4 == "hit@5" && $5 == "all" { n++; v[$2] = $6 }
		END { print n, (v["hare"] > 2 * v["cosine"]), (v["rocchio"] > v["cosine"]), (v["hare-nowiden"] == v["hare"]) }' one
	[ "$output" = "23 1 1 1" ]
}

@test "known users are narrower than new ones, far more so with true rewards than with none, and they differ" {
	"${replay[@]}" --system hare-wide,hare > t.csv
	run -0 awk -F, '$2 == "hare-wide" && $1 == "entropy" { v[$5] = $6; if ($4 == "falls") falls = $6 }
		$2 == "hare" && $4 == "entropy" { c[$1 $5] = $6 } $2 == "hare" && $1 == "divergence" { d[$4 $5] = $6 }
		END { print (v[0] > 2 * v[5]), (v[0] > 2 * v[25]), falls, (2 * c["entropy25"] < c["entropy-zero25"]), (c["entropy0"] == c["entropy-zero0"]),
		      (d["z0"] < 1e-6), (d["z25"] > .1), d["top50"], (d["top525"] < .7) }' t.csv
	[ "$output" = "1 1 1 1 1 1 1 1 1" ]
}

@test "constants are chosen on training users, given ones stay" {
	"${replay[@]}" --no-probes --system rocchio,history --train-events "$d/events.csv" --train-relevance "$d/relevance.csv" \
		--tune-users 3 --set history.gain=3 > t.csv
	run -0 awk -F, '$1 == "constants" { print $2 "." $4, $5 }' t.csv
	[ "$output" = "rocchio.towards chosen
rocchio.away chosen
rocchio.hit training
history.gain given
history.sharp chosen
history.hit training" ]
	run -0 awk -F, '$4 == "gain" { print $6 }' t.csv
	[ "$output" = 3 ]
}

@test "queries move to what others clicked for them" {
	# what was clicked for a query is one item: it is the nearest then, for whoever asks the same
	train=(--train-events "$d/events.csv" --train-relevance "$d/relevance.csv" --tune-users 1)
	{ echo event,item; awk -F, '$4 == "plan the week" { print $1 ",fuzz-tests-for-a-parser" }' "$d/events.csv"; } > c.csv
	"${replay[@]}" "${train[@]}" --no-probes --system cosine,cosine@clicks --train-clicks c.csv --click-weight 1000 --rankings r.csv > t.csv
	[ "$(awk -F, '$1 == "hit" { print $2 }' t.csv | uniq | xargs)" = 'cosine cosine@clicks' ]
	/usr/bin/python3 - "$d/events.csv" <<-'END'
	import csv, sys
	rows = lambda path: list(csv.DictReader(open(path, newline='')))
	asked = {r['event']: r['query'] for r in rows(sys.argv[1])}
	plain = {(r['event'], r['rank']): r['item'] for r in rows('r.cosine.csv')}
	n = 0
	for r in rows('r.cosine@clicks.csv'):
	    if asked[r['event']] != 'plan the week': assert r['item'] == plain[r['event'], r['rank']]
	    elif r['rank'] == '1':
	        n += 1
	        assert r['item'] == 'fuzz-tests-for-a-parser'
	assert n > 5
	END
	run -64 --separate-stderr "${replay[@]}" --system cosine@clicks
	[ "$stderr" = 'hare-eval: no space "clicks" here' ]
}

@test "an unknown event or item is named with its line" {
	printf 'event,item\ne0-0,nothing\n' > r.csv
	run -65 --separate-stderr hare-eval replay -m "$d/m" -p "$d/p" --events "$d/events.csv" --relevance r.csv
	[ "$stderr" = 'hare-eval: r.csv:2: column item: expected an item of the pool, got "nothing"' ]
	printf 'event,item\nnone,fuzz-tests-for-a-parser\n' > r.csv
	run -65 --separate-stderr hare-eval replay -m "$d/m" -p "$d/p" --events "$d/events.csv" --relevance r.csv
	[ "$stderr" = 'hare-eval: r.csv:2: column event: no such event: "none"' ]
	printf 'item\nfuzz-tests-for-a-parser\nnothing\n' > i.csv
	run -65 --separate-stderr "${replay[@]}" --items i.csv
	[ "$stderr" = 'hare-eval: i.csv:3: column item: expected an item of the pool, got "nothing"' ]
}

@test "queries may come as vectors" {
	hare-embed -q -m "$d/m" -c query "$d/events.csv" > x.csv
	"${replay[@]}" --system hare,linucb-item --no-probes | untimed > text
	hare-eval replay -m "$d/m" -p "$d/p" --events x.csv --relevance "$d/relevance.csv" --system hare,linucb-item --no-probes | untimed > vectors
	cmp text vectors
}

@test "a place that cannot be written is told before anything is run; a full disk is an error" {
	run -66 --separate-stderr "${replay[@]}" --system hare,cosine --rankings nowhere/r.csv
	[[ "$stderr" == 'hare-eval: nowhere/r.hare.csv: '* ]]
	run -66 --separate-stderr hare-eval simulate --log nowhere/log.csv
	[ -z "$output" ]
	run -74 sh -c "hare-eval simulate --system cosine --users 1 --seeds 1 --rounds 5 --no-probes > /dev/full"
}

@test "tables as TSV and as JSON Lines" {
	small=(hare-eval simulate --system hare --users 2 --seeds 1 --rounds 10 --no-probes)
	"${small[@]}" | untimed > a
	"${small[@]}" -T | tr '\t' , | untimed | cmp - a
	[ "$("${small[@]}" -J | jq -r 'select(.table == "reward" and .block == "all") | .system')" = hare ]
}

# a decoder that has learnt, in a second, from what was clicked
generator() {
	mlr --csv join -j event -f "$d/events.csv" then join -j item -l id -r item -f "$BATS_TEST_DIRNAME/data/skills.csv" then \
		rename query,input,title,output then cut -o -f user,input,output then head -n 4 -g user,input "$d/relevance.csv" > pairs.csv
	hare-train decoder -q -m "$d/m" -o g --layers 1 --dim 32 --heads 2 --tokens 600 --prefix 2 --items 3 --item-tokens 10 \
		--question-tokens 12 --text-tokens 12 --steps 150 --batch 600 --held-out 0 pairs.csv
}

@test "a decoder writes queries from a history, retrieval answers them; without queries that is the nearest item" {
	generator
	"${replay[@]}" --generator g --system generative,cosine --threads 1 --rankings a.csv | untimed > one
	"${replay[@]}" --generator g --system generative,cosine --threads 3 --rankings b.csv | untimed > three
	cmp one three
	cmp a.generative.csv b.generative.csv
	hit() { awk -F, '$1 == "hit" && $2 == "'"$1"'" && $4 == "hit@5" && $5 == "all" { print $6 }'; }
	"${replay[@]}" --generator g --system generative --no-probes --set generative.history=0 > alone
	/usr/bin/python3 -c 'import sys; own, alone, cosine = map(float, sys.argv[1:]); assert own > cosine + .2 and own != alone, sys.argv' \
		$(hit generative < one) $(hit generative < alone) $(hit cosine < one)
	"${replay[@]}" --generator g --system generative,cosine --no-probes --set generative.queries=0 \
		--set generative.again=0 --rankings r.csv > t.csv
	cmp r.generative.csv r.cosine.csv
	"${replay[@]}" --generator g --system generative --no-probes --set generative.temperature=0 --rankings beams.csv > t.csv
	run -1 cmp -s beams.csv a.generative.csv
	# the same words for all: the space that clicks move has them too
	{ echo event,item; awk -F, '$4 == "plan the week" { print $1 ",fuzz-tests-for-a-parser" }' "$d/events.csv"; } > c.csv
	"${replay[@]}" --generator g --system all@clicks --no-probes --train-events "$d/events.csv" --train-relevance "$d/relevance.csv" \
		--train-clicks c.csv --tune-users 1 --set generative.own=0 | awk -F, '$1 == "constants" && $2 == "generative@clicks" { print $4, $5 }' > got
	grep -qx 'own given' got
	grep -qx 'again chosen' got
}

@test "without a decoder that fits, or without words, nothing is generated, and that is said" {
	run -64 --separate-stderr "${replay[@]}" --system hare,generative
	[ "$stderr" = 'hare-eval: generative: not available: it needs --generator, a DECODER that hare-train made of queries and what was clicked for them' ]
	run -64 --separate-stderr hare-eval simulate --system generative
	[ "$stderr" = 'hare-eval: generative: not available: what simulated users ask is a vector, without words for a decoder' ]
	generator
	run -64 --separate-stderr "${replay[@]}" --system generative --generator g --title name
	[[ "$stderr" == 'hare-eval: --title: '*'"name"'* ]]
	run -64 --separate-stderr "${replay[@]}" --system cosine --title title
	[[ "$stderr" == *'--title goes with --generator'* ]]
	run -66 --separate-stderr "${replay[@]}" --system generative --generator none
	[[ "$stderr" == 'hare-eval: none: '* ]]
	run -65 --separate-stderr "${replay[@]}" --system generative --generator "$d/m"
	[[ "$stderr" == "hare-eval: $d/m: "* ]]
	hare-embed -q -m "$d/m" -c query "$d/events.csv" > x.csv
	run -65 --separate-stderr hare-eval replay -m "$d/m" -p "$d/p" --events x.csv --relevance "$d/relevance.csv" --system generative --generator g
	[ "$stderr" = 'hare-eval: --generator: expected events with a column query, as a decoder reads words, got x' ]
	hare-embed fit -q -o other -c title "$BATS_TEST_DIRNAME/data/skills.csv"
	hare-embed -q -m other -c title "$BATS_TEST_DIRNAME/data/skills.csv" | hare-pool build -q -m other -o op
	run -65 --separate-stderr hare-eval replay -m other -p op --events "$d/events.csv" --relevance "$d/relevance.csv" --system generative --generator g
	[[ "$stderr" == 'hare-eval: g: is of the space '*', other of '* ]]
}

@test "a system that is not there is exit 64 with a sentence" {
	run -64 --separate-stderr "${replay[@]}" --system hare,heron
	[[ "$stderr" == 'hare-eval: no system "heron"; there are hare '* ]]
	run -64 --separate-stderr "${replay[@]}" --set rocchio.speed=1
	[ "$stderr" = 'hare-eval: --set: rocchio has no constant "speed"' ]
}

@test "what was wanted for a question is shown again when it is asked again, where rows have models of their own" {
	/usr/bin/python3 - "$BATS_TEST_DIRNAME/data/skills.csv" <<-'END'
	import csv, random, sys
	random.seed(2)
	ids = [r['id'] for r in csv.DictReader(open(sys.argv[1], newline=''))]
	asked = ['a test', 'a report', 'a page', 'a plan', 'a review', 'a query']
	ev, rel = open('e.csv', 'w'), open('r.csv', 'w')
	print('event,user,query', file=ev); print('event,item', file=rel)
	for u in range(6):
	    wanted = {q: random.sample(ids, 12) for q in asked}      # nothing that tastes would explain
	    for t in range(60):
	        q = random.choice(asked)
	        print(f'{u}-{t},u{u},{q}', file=ev)
	        for i in wanted[q]: print(f'{u}-{t},{i}', file=rel)
	END
	hare-eval replay -m "$d/m" -p "$d/p" --events e.csv --relevance r.csv --no-probes --system hare,hare-recall > t.csv
	run -0 awk -F, '$1 == "hit" && $4 == "hit@1" && $5 == "31-100" { v[$2] = $6 } END { print (v["hare-recall"] > 2 * v["hare"]), (v["hare-recall"] > .5) }' t.csv
	[ "$output" = "1 1" ]
}

# the worlds

@test "the prototype's world: knowing all is best, then one item; the nearest is good while queries say what is needed" {
	hare-eval simulate --system hare,cosine,random --users 10 --seeds 2 --no-probes > i.csv
	hare-eval simulate --system hare,cosine,random --users 10 --seeds 2 --no-probes --queries ambiguous > a.csv
	for f in i a; do
		run -0 awk -F, '($1 == "world" || $1 == "reward") && $5 == "all" { v[$2] = $6 }
			END { print (v["oracle"] > v["single"] && v["oracle"] > v["hare"]), (v["single"] > v["cosine"]), (v["cosine"] > v["random"] + .15), (v["hare"] > v["random"] + .15) }' $f.csv
		[ "$output" = "1 1 $([ $f = i ] && echo 1 || echo 0) 1" ]
	done
}

@test "regret is what the oracle earns more, and curves are the rewards of ten rounds" {
	hare-eval simulate --system linucb-user --users 6 --seeds 2 --no-probes --tune-users 0 > t.csv
	run -0 awk -F, '$1 == "world" && $2 == "oracle" { o = $6 } $1 == "reward" && $5 == "all" { r = $6 } $1 == "curve" { c += $6; n++ }
		$1 == "regret" && $5 == 200 { g = $6 } END { d = 200 * (o - r) - g; e = c / n - r; print n, (d * d < 1e-6), (e * e < 1e-10) }' t.csv
	[ "$output" = "20 1 1" ]
}

clicks_pool() {
	/usr/bin/python3 - "$BATS_TEST_DIRNAME/data/skills.csv" <<-'END' > tagged.csv
	import csv, sys
	out = csv.writer(sys.stdout, lineterminator='\n'); out.writerow(['id', 'title', 'tags'])
	for r in csv.DictReader(open(sys.argv[1], newline='')): out.writerow([r['id'], r['title'] + ' ' + r['description'], 'about::' + r['category'] + ' made::x'])
	END
	hare-embed -q -m "$d/m" -c title tagged.csv | hare-pool build -m "$d/m" -o tp
	clicks=(hare-eval simulate --world clicks -m "$d/m" -p tp --interests about:: --share-max .5 --users 8 --seeds 1 --rounds 60)
}

@test "clicks: what has the interest asked for is rewarded; the log says what was shown" {
	clicks_pool
	"${clicks[@]}" --system random,cosine --no-probes --reward 1 --base 0 --queries informative --log log.csv > t.csv
	[ "$(head -n 1 log.csv)" = event,user,x,item,reward ]
	[ "$(wc -l < log.csv)" -eq 481 ]
	/usr/bin/python3 - <<-'END'
	import csv
	tag = {r['id']: r['tags'] for r in csv.DictReader(open('tagged.csv'))}
	met, rows = {}, list(csv.DictReader(open('log.csv')))
	for r in rows:
	    if r['reward'] == '1': met.setdefault(r['user'], set()).add(tag[r['item']])
	assert met and all(len(v) <= 2 for v in met.values()), met
	told = [r for r in csv.DictReader(open('t.csv')) if r['table'] == 'reward' and r['block'] == 'all']
	mean = {r['system']: float(r['value']) for r in told}
	assert abs(mean['random'] - sum(r['reward'] == '1' for r in rows) / len(rows)) < 2e-6
	assert mean['cosine'] > 3 * mean['random'], mean
	END
}

@test "clicks: other people, halves of the interests, drift and sparse rewards" {
	clicks_pool
	sum() { awk -F, '$1 == "reward" && $2 == "hare" && $5 == "'$1'" { print $6 }'; }
	base=("${clicks[@]}" --system hare --no-probes)
	"${base[@]}" > a; "${base[@]}" --first-user 8 > b; "${base[@]}" --drift > c; "${base[@]}" --reward .3 > e
	"${base[@]}" --split 1 > f; "${base[@]}" --split 2 > g
	run -1 cmp -s a b
	run -1 cmp -s f g
	/usr/bin/python3 -c 'import sys; a, c, e = map(float, sys.argv[1:]); assert e < a / 2 and c < a + .1, (a, c, e)' $(sum all < a) $(sum all < c) $(sum all < e)
	run -65 --separate-stderr hare-eval simulate --world clicks -m "$d/m" -p "$d/p" --interests about::
	[ "$stderr" = 'hare-eval: the pool keeps no column "tags": hare-pool build it from records that have one' ]
	run -65 --separate-stderr "${clicks[@]}" --interests nothing::
	[[ "$stderr" == 'hare-eval: 0 tags are interests (--interests nothing::): expected at least 2 for a user' ]]
}

@test "clicks: queries that say nothing are heard less, and cost nothing where they say what is wanted" {
	clicks_pool
	for q in empty informative; do "${clicks[@]}" --users 20 --rounds 100 --share-max .2 --no-probes --system hare,hare-deaf --queries $q > $q.csv; done
	/usr/bin/python3 - <<-'END'
	import csv
	def pair(q):
	    return next((float(r['value']), float(r['error'])) for r in csv.DictReader(open(q + '.csv'))
	        if r['table'] == 'pair' and r['system'] == 'hare-deaf' and r['block'] == 'all')
	(empty, e), (told, t) = pair('empty'), pair('informative')
	assert empty < -2 * e, ('deaf less hare', empty, e)
	assert told <= 2 * t, ('deaf less hare', told, t)
	END
}

@test "simulate gives the same with any number of threads" {
	hare-eval simulate --users 3 --seeds 2 --rounds 30 --tune-users 2 --threads 1 | untimed > one
	hare-eval simulate --users 3 --seeds 2 --rounds 30 --tune-users 2 --threads 4 | untimed > four
	cmp one four
}

# figures

@test "figures: numbers, scripts and pictures; without gnuplot the first two, and that is said" {
	"${replay[@]}" --system hare,cosine,history --plots figures > t.csv
	for n in curve entropy divergence attention; do [ -s figures/$n.dat ] && [ -s figures/$n.gp ]; done
	[ ! -e figures/regret.dat ]
	# lines of the table are points of the figure
	[ "$(awk -F, '$1 == "curve" && $2 == "hare"' t.csv | wc -l)" -eq "$(sed -n '/^# hare$/,/^$/p' figures/curve.dat | grep -c '^[0-9]')" ]
	# a user's attention is at most one
	awk '{ s = 0; for (i = 1; i <= NF; i++) s += $i; if (s > 1.00001) exit 1; n++ } END { exit n != 6 }' figures/attention.dat
	if command -v gnuplot > /dev/null; then [ -s figures/curve.svg ] && [ -s figures/attention.png ]; fi
	mkdir bin
	ln -s "$(command -v hare-eval)" bin/hare-eval
	run -0 --separate-stderr env PATH="$PWD/bin" hare-eval simulate --system hare --users 2 --seeds 1 --rounds 20 --tune-users 0 --plots none
	[ "$stderr" = 'hare-eval: gnuplot is not installed: none has the data and the scripts, no pictures' ]
	[ -s none/regret.gp ]
	[ ! -e none/regret.svg ]
}
