bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_TMPDIR"
	drinks=$BATS_TEST_DIRNAME/data/bandit-drinks.csv
	log=$BATS_TEST_DIRNAME/data/bandit-log.csv
	unset HARE_STATE
}

dump() { hare-state dump -s "$1"; }

@test "linucb decides as a solve in numpy on every row, scores to 1e-9, theta to 1e-8, features as they are" {
	cat > twin.py <<-'END'
	import csv, sys
	import numpy as np
	got = list(csv.DictReader(open('out.csv')))
	arms = ['coffee', 'tea', 'lemonade', 'soup']
	A = {a: 2.0 * np.eye(4) for a in arms}
	b = {a: np.zeros(4) for a in arms}
	worst = 0
	for r in got:
	    x = np.array([float(v) for v in r['x'].split()])
	    s = [np.linalg.solve(A[a], b[a]) @ x + 0.3 * np.sqrt(x @ np.linalg.solve(A[a], x)) for a in arms]
	    a = arms[int(np.argmax(s))]
	    assert a == r['arm'], (r, s)
	    worst = max(worst, abs(max(s) - float(r['score'])))
	    reward = float(a == r['label'])
	    assert reward == float(r['reward'])
	    A[a] += np.outer(x, x)
	    b[a] += reward * x
	theta = {r['key']: r['value'] for r in csv.DictReader(open('dump.csv')) if r['form'] == 'theta'}
	off = max(np.abs(np.linalg.solve(A[a], b[a]) - np.array(theta[a].split(), dtype=float)).max() for a in arms)
	assert worst < 1e-9 and off < 1e-8, (worst, off)
	END
	hare-bandit run --policy linucb --alpha 0.3 --lambda 2 --arms coffee,tea,lemonade,soup -s s "$drinks" > out.csv
	hare-state dump -s s > dump.csv
	run -0 /usr/bin/python3 twin.py
}

@test "run appends arm, score and reward, and a propensity where the policy draws" {
	hare-bandit run "$drinks" > out.csv
	[ "$(head -n 1 out.csv)" = id,label,x,arm,score,reward ]
	[ "$(wc -l < out.csv)" -eq 241 ]
	run -0 hare-bandit run --policy egreedy "$drinks"
	[ "${lines[0]}" = id,label,x,arm,score,reward,propensity ]
}

@test "reward is 1 where the chosen arm is the label, else 0" {
	hare-bandit run -T < <(tr , '\t' < "$drinks") > out.tsv
	run -0 awk -F '\t' 'NR > 1 && $6 != ($2 == $4) { exit 1 }' out.tsv
}

@test "the default finds the rules of the sample: 65 of 100 right in one pass" {
	run -0 sh -c "hare-bandit run '$drinks' | awk -F, 'NR > 1 { n += \$6 } END { print (n >= 0.65 * (NR - 1)) }'"
	[ "$output" = 1 ]
}

@test "the default does not care about the units of features" {
	/usr/bin/python3 - "$drinks" > scaled.csv <<-'END'
	import csv, sys
	print('id,label,x')
	for r in csv.DictReader(open(sys.argv[1])):
	    x = [float(v) for v in r['x'].split()]
	    print(r['id'], r['label'], ' '.join('%.17g' % v for v in (x[0] * 1024, x[1] / 4096, x[2] * 65536, x[3] / 2)), sep=',')
	END
	hare-bandit run "$drinks" | cut -d, -f1,2,4,6 > a
	hare-bandit run scaled.csv | cut -d, -f1,2,4,6 > b
	cmp a b
}

@test "a constant feature, a binary one, a single one: all are learnt from" {
	printf 'label,x\n' > one.csv
	for i in 1 2 3 4 5 6 7 8 9 10; do printf 'a,0 7 1\nb,1 7 1\n'; done >> one.csv
	[ "$(hare-bandit run one.csv | tail -n 6 | awk -F, '{ n += $5 } END { print n }')" = 6 ]
	sed 's/,\([01]\) 7 1/,\1/' one.csv > two.csv
	[ "$(hare-bandit run two.csv | tail -n 6 | awk -F, '{ n += $5 } END { print n }')" = 6 ]
	sed 's/,.*/,5/' two.csv | sed '1s/.*/label,x/' > three.csv
	run -0 hare-bandit run three.csv
}

@test "stop and go on anywhere: the answers and the state are those of never stopping, bit for bit" {
	for policy in auto linucb hybrid lints squarecb; do
		rm -f one two
		hare-bandit run --policy $policy --seed 5 -s one --source d < "$drinks" > one.csv
		head -n 51 "$drinks" | hare-bandit run --policy $policy --seed 5 -s two --source d > two.csv
		head -n 52 "$drinks" | hare-bandit run -s two --source d | tail -n +2 >> two.csv
		hare-bandit run -s two --source d --commit 17 < "$drinks" | tail -n +2 >> two.csv
		cmp one.csv two.csv
		dump one > one.dump
		dump two > two.dump
		cmp one.dump two.dump
	done
}

@test "a named file is learnt once: the second time there is nothing to do" {
	cp "$drinks" d.csv
	hare-bandit run -s s d.csv > out.csv
	dump s > before
	[ "$(hare-bandit run -s s d.csv | wc -l)" -eq 1 ]
	dump s > after
	cmp before after
	sed -i '2s/coffee/tea/; 2s/soup/tea/; 2s/lemonade/tea/' d.csv
	cmp -s "$drinks" d.csv && sed -i '2s/tea/soup/' d.csv
	run -65 --separate-stderr hare-bandit run -s s d.csv
	[[ "$stderr" == *"is no longer what it was"* ]]
}

@test "learn from what run chose gives the same arms as run" {
	hare-bandit run --arms coffee,tea,lemonade,soup -s one --source a "$drinks" > out.csv
	hare-bandit learn --arms coffee,tea,lemonade,soup -s two --source a out.csv
	hare-state dump -s one | grep -v source > one.dump
	hare-state dump -s two | grep -v source > two.dump
	cmp one.dump two.dump
}

@test "choose tells the arm, its score and its propensity, and learns nothing" {
	hare-bandit run -s s "$drinks" > /dev/null
	cp s before
	printf 'who,x\n"a, b",8 10 0 30\nc,14 30 1 5\n' > q.csv
	run -0 hare-bandit choose -s s q.csv
	[ "${lines[0]}" = who,x,arm,score,propensity ]
	[[ "${lines[1]}" == '"a, b",8 10 0 30,coffee,'*,1 ]]
	[[ "${lines[2]}" == 'c,14 30 1 5,lemonade,'*,1 ]]
	cmp before s
}

@test "any number of threads chooses the same bytes" {
	hare-bandit run -s s "$drinks" > /dev/null
	for policy in linucb lints egreedy; do
		hare-bandit choose -s s --policy $policy --threads 1 "$drinks" > a
		hare-bandit choose -s s --policy $policy --threads 4 "$drinks" > b
		cmp a b
	done
}

@test "a seed gives the same draws, another one others" {
	hare-bandit run --policy uniform --seed 1 "$drinks" > a
	hare-bandit run --policy uniform --seed 1 "$drinks" > b
	hare-bandit run --policy uniform --seed 2 "$drinks" > c
	cmp a b
	run ! cmp -s a c
}

@test "explain lists the best arms of each row with mean and bonus, whose sum is the score" {
	hare-bandit run -s s "$drinks" > /dev/null
	printf 'x\n8 10 0 30\n' | hare-bandit choose -s s --explain --top 3 > out.csv
	[ "$(head -n 1 out.csv)" = x,rank,arm,mean,bonus,score,propensity ]
	[ "$(wc -l < out.csv)" -eq 4 ]
	awk -F, 'NR > 1 && ($4 + $5 - $6) ^ 2 > 1e-20 { exit 1 } NR > 2 && $6 > last { exit 1 } { last = $6 }' out.csv
	[ "$(printf 'x\n8 10 0 30\n' | hare-bandit choose -s s | tail -n 1 | cut -d, -f2,3)" = "$(sed -n 2p out.csv | cut -d, -f3,6)" ]
}

@test "arms are names as they are written: 1, 01 and 10 are three arms" {
	printf 'x,arm,reward\n1,1,1\n1,01,0\n1,10,0\n' | hare-bandit learn -s s
	[ "$(printf 'x\n1\n' | hare-bandit choose -s s | tail -n 1 | cut -d, -f2)" = 1 ]
	[ "$(hare-state dump -s s | grep -c theta)" -eq 3 ]
}

@test "ties go to the arm that was named first" {
	[ "$(printf 'label,x\nz,1\n' | hare-bandit run --arms b,a,z | tail -n 1 | cut -d, -f3)" = b ]
}

@test "arms come in the order of their first appearance; declared ones are all there are, until more are declared" {
	printf 'x,arm,reward\n1,b,1\n1,a,0\n' | hare-bandit learn -s open
	printf 'x,arm,reward\n1,c,1\n' | hare-bandit learn -s open
	printf 'x,arm,reward\n1,b,1\n' | hare-bandit learn -s s --arms a,b
	printf 'x,arm,reward\n1,a,1\n1,c,1\n' > bad.csv
	run -65 --separate-stderr hare-bandit learn -s s bad.csv
	[ "$stderr" = 'hare-bandit: bad.csv:3: column arm: expected one of the 2 arms, got "c" (--arms adds one)' ]
	printf 'x,arm,reward\n1,c,1\n' | hare-bandit learn -s s --arms c
	[ "$(hare-state info -s s | grep ^arms)" = arms,3 ]
}

@test "arms may be declared before anything is learnt" {
	printf 'x,arm,reward\n' | hare-bandit learn -s s --arms b,a
	printf 'x\n1 2\n' > q.csv
	run -65 --separate-stderr hare-bandit choose -s s q.csv
	[ "$stderr" = 'hare-bandit: s: has not learnt yet' ]
	printf 'x,arm,reward\n1 2,a,0\n' | hare-bandit learn -s s
	[ "$(hare-bandit choose -s s q.csv | tail -n 1 | cut -d, -f2)" = b ]
}

@test "bad rows are named by line and column and never learnt from" {
	printf 'x,arm,reward,propensity\n1 2,a,1,0.5\n' | hare-bandit learn -s s --arms a,b
	dump s > before
	while IFS='|' read -r row column; do
		printf 'x,arm,reward,propensity\n%s\n' "$row" > bad.csv
		run -65 --separate-stderr hare-bandit learn -s s --source "$row" bad.csv
		[[ "$stderr" == "hare-bandit: bad.csv:2: column $column: "* ]] || { echo "$row: $stderr"; false; }
	done <<-'END'
	1 2,c,1,0.5|arm
	1 2,,1,0.5|arm
	1 2,a,1,0|propensity
	1 2,a,1,1.01|propensity
	1 2,a,1,-0.5|propensity
	1 2,a,1,nan|propensity
	1 2,a,high,0.5|reward
	1 2,a,inf,0.5|reward
	1 nan,a,1,0.5|x
	1 2 3,a,1,0.5|x
	1,a,1,0.5|x
	,a,1,0.5|x
	1 b,a,1,0.5|x
	1 1000000000000e300,a,1,0.5|x
	1 2,a,1e31,0.5|reward
	END
	dump s > after
	cmp before after
}

@test "rows before a bad one come out and are learnt; --skip-bad counts it and goes on" {
	printf 'label,x\na,1 0\nb,0 1\na,1\na,1 0\n' > d.csv
	run -65 --separate-stderr hare-bandit run --arms a,b -s s d.csv
	[ "${#lines[@]}" -eq 3 ]
	[ "$stderr" = 'hare-bandit: d.csv:4: column x: expected 2 numbers, got 1' ]
	[ "$(hare-state info -s s | grep ^arm_obs)" = arm_observations,2 ]
	run -0 --separate-stderr hare-bandit run --arms a,b --skip-bad d.csv
	[ "${#lines[@]}" -eq 4 ]
	[[ "$stderr" == *"1 bad row skipped"* ]]
}

@test "a damaged state is refused, or its answer is the right one; never another" {
	hare-bandit run -s s "$drinks" > /dev/null
	printf 'x\n8 10 0 30\n14 30 1 5\n' > q.csv
	hare-bandit choose -s s q.csv > good
	size=$(wc -c < s)
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		cp s bad
		at=$(((size / 21) * i + 37 * i))
		byte=$(od -An -tu1 -j $at -N 1 s | tr -d ' ')
		printf "\\$(printf %o $(((byte + 85) % 256)))" | dd of=bad bs=1 seek=$at conv=notrunc status=none
		status=0
		hare-bandit choose -s bad q.csv > got 2> err || status=$?
		[ $status -eq 65 ] || { [ $status -eq 0 ] && cmp good got; }
	done
	head -c $((size / 2)) s > bad
	run -65 hare-bandit choose -s bad q.csv
}

@test "what a state has learnt with is kept: another lambda, model or dimension is refused, both named" {
	hare-bandit run -s s --policy linucb --lambda 2 "$drinks" > /dev/null
	run -65 --separate-stderr hare-bandit run -s s --lambda 3 "$drinks"
	[ "$stderr" = 'hare-bandit: s has lambda 2, the command line has lambda 3' ]
	run -65 --separate-stderr hare-bandit run -s s --policy hybrid "$drinks"
	[[ "$stderr" == *"model disjoint"*"model hybrid"* ]]
	printf 'x\n1 2\n' > q.csv
	run -65 --separate-stderr hare-bandit choose -s s q.csv
	[ "$stderr" = 'hare-bandit: q.csv:2: column x: expected 4 numbers, got 2' ]
	hare-bandit choose -s s --policy lints --alpha 1 "$drinks" > /dev/null
}

@test "of two that learn into one state at once the later is told to try again, and has changed nothing" {
	mkfifo pipe
	hare-bandit run --arms a,b -s s pipe > out.csv 2> err & first=$!
	exec 7> pipe
	printf 'label,x\na,1 0\n' >&7
	for i in $(seq 100); do [ "$(wc -l < out.csv)" -ge 2 ] && break; sleep 0.05; done
	sleep 1.5
	printf 'x,arm,reward\n1 0,a,1\n1 0,a,1\n' | hare-bandit learn -s s
	dump s > before
	printf 'b,0 1\n' >&7
	exec 7>&-
	status=0
	wait $first || status=$?
	dump s > after
	cmp before after
	[ $status -eq 75 ]
	grep -q 'another program learnt into it' err
}

@test "killed at any moment, the same command ends with the arms of a run that was not" {
	for i in $(seq 60); do tail -n +2 "$drinks"; done > rows
	{ head -n 1 "$drinks"; cat rows; } > long.csv
	hare-bandit run -s whole long.csv > /dev/null
	for after in 0.03 0.08 0.15 0.3; do
		timeout -s KILL $after hare-bandit run -s s --commit 400 long.csv > /dev/null || true
	done
	hare-bandit run -s s long.csv > /dev/null
	dump whole > a
	dump s > b
	cmp a b
}

@test "a row on a pipe is answered at once" {
	mkfifo pipe
	hare-bandit run --arms a,b < pipe > out.csv & pid=$!
	exec 7> pipe
	printf 'label,x\na,1 0\n' >&7
	for i in $(seq 100); do [ "$(wc -l < out.csv)" -ge 2 ] && break; sleep 0.05; done
	[ "$(wc -l < out.csv)" -eq 2 ]
	exec 7>&-
	wait $pid
}

@test "arms with features share a model: what is learnt of some tells of one never shown" {
	printf 'arm,x\nsmall,1 0\nlarge,0 1\nhuge,0 2\n' > arms.csv
	printf 'x,arm,reward\n' > log.csv
	for i in 1 2 3 4 5 6 7 8; do printf '1 1,small,0\n1 1,large,0.4\n'; done >> log.csv
	hare-bandit learn --policy linucb --model shared --alpha 0.01 --arms arms.csv -s s log.csv
	[ "$(printf 'x\n1 1\n' | hare-bandit choose -s s | tail -n 1 | cut -d, -f2)" = huge ]
	run -64 --separate-stderr hare-bandit learn --model shared --arms a,b -s t log.csv
	[[ "$stderr" == *"need features"* ]]
}

@test "estimate: IPS, SNIPS, doubly robust and replay of a uniform log agree with the truth within their errors" {
	hare-bandit estimate --policy-column mine "$log" > out.csv
	[ "$(head -n 1 out.csv)" = estimator,value,stderr,low,high,n,ess,note ]
	# the rule of column mine is right in 0.565 of the rows
	run -0 awk -F, 'NR > 1 && !($4 < 0.565 && 0.565 < $5 && $6 == 400 && $7 == 112) { print; exit 1 }' out.csv
	[ "$(wc -l < out.csv)" -eq 5 ]
}

@test "replay of a log that is not uniform is refused with the reason" {
	sed '2,$s/,0.25,/,0.3,/' "$log" > skew.csv
	run -65 --separate-stderr hare-bandit estimate --policy-column mine --estimator replay skew.csv
	[[ "$stderr" == *"drawn uniformly"*"row 1 was shown with propensity 0.3, one of 4 arms is 0.25"* ]]
	run -0 hare-bandit estimate --policy-column mine skew.csv
	[[ "${lines[4]}" == 'replay,,,,,400,,"replay needs'* ]]
	# and one that only says it is
	grep -v ,soup,.,0.25 "$log" > gap.csv
	run -65 --separate-stderr hare-bandit estimate --policy-column mine --estimator replay gap.csv
	[[ "$stderr" == *"arms were shown from 0 to"* ]]
}

@test "estimate of the policy of a state: a log that the policy itself drew gives its own reward" {
	hare-bandit run --policy egreedy --epsilon 0.5 -s s "$drinks" > /dev/null
	hare-bandit choose -s s "$drinks" | cut -d, -f2,3,4,6 | awk -F, 'BEGIN { OFS = "," }
	    NR == 1 { print "x,arm,propensity,reward" } NR > 1 { print $2, $3, $4, ($1 == $3) }' > own.csv
	truth=$(awk -F, 'NR > 1 { n += $4 } END { printf "%.12g", n / (NR - 1) }' own.csv)
	run -0 hare-bandit estimate -s s --estimator ips,snips own.csv
	[ "$(printf %.12g "$(echo "${lines[1]}" | cut -d, -f2)")" = "$truth" ]
	[ "$(printf %.12g "$(echo "${lines[2]}" | cut -d, -f2)")" = "$truth" ]
}

@test "merge adds arms, in any order to the same bits; other settings are refused; dump and load keep all" {
	head -n 101 "$drinks" > one.csv
	sed '2,101d' "$drinks" > two.csv
	for policy in auto linucb; do
		rm -f a b ab ba t
		hare-bandit run --policy $policy -s a one.csv > /dev/null
		hare-bandit run --policy $policy -s b two.csv > /dev/null
		hare-state merge -o ab a b
		hare-state merge -o ba b a
		dump ab > ab.csv
		dump ba > ba.csv
		cmp ab.csv ba.csv
		[ "$(hare-state info -s ab | grep ^arm_obs)" = arm_observations,240 ]
		hare-state dump -s ab | hare-state load -s t
		hare-state check -s t
		dump t | cmp - ab.csv
		for n in 3 16 18 20; do
			rm -f cut
			hare-state dump -s ab | head -n $n > cut.csv
			run -65 hare-state load -s cut cut.csv
			[ ! -e cut ]
		done
		hare-bandit choose -s ab "$drinks" > x
		hare-bandit choose -s t "$drinks" | cmp - x
	done
	rm -f c
	hare-bandit run --policy linucb --lambda 9 -s c two.csv > /dev/null
	run -65 --separate-stderr hare-state merge -o ac a c
	[[ "$stderr" == *"lambda 2"*"lambda 9"* ]]
}

@test "numbers are read as the float64 nearest to them, whatever their form; f32: is the float32 that it is" {
	printf 'x,arm,reward\n0,b,0\n' | hare-bandit learn --policy linucb --alpha 1 --lambda 1 --arms a,b -s s
	# of an arm that has learnt nothing the score is sqrt(x^2)
	/usr/bin/python3 - > q.csv <<-'END'
	import base64, numpy as np
	r = np.random.default_rng(1)
	print('want,x')
	def put(t):
	    print(repr(float(t)), t, sep=',')
	for i in range(4000):
	    put(str(np.float32(10.0 ** r.uniform(-20, 18))))
	    put('%.*f' % (int(r.integers(0, 4)), 10.0 ** r.uniform(-3, 5)))
	    put('%.8f' % r.uniform())
	    put('%d' % r.integers(0, 10 ** 9))
	    put(repr(r.uniform()))
	    v = np.float32(r.uniform())
	    print(repr(float(v)), 'f32:' + base64.b64encode(v.tobytes()).decode(), sep=',')
	    print(repr(0.1 + i), '"[ %r ]"' % (0.1 + i), sep=',')
	END
	hare-bandit choose -s s q.csv > out.csv
	run -0 /usr/bin/python3 -c '
import csv
rows = list(csv.DictReader(open("out.csv")))
assert len(rows) > 16000
bad = [r for r in rows if abs(float(r["want"]) - float(r["score"])) > 2e-15 * float(r["want"])]
assert not bad, bad[:3]'
}

@test "a full disk, a missing file, a missing column and a wrong option have their statuses" {
	run -74 sh -c "hare-bandit run '$drinks' > /dev/full"
	run -66 hare-bandit run nothing.csv
	run -66 hare-bandit choose -s nothing "$drinks"
	run -65 --separate-stderr hare-bandit learn -s s "$drinks"
	[[ "$stderr" == *'no column "arm": the columns are id, label, x' ]]
	[ ! -e s ]
	run -64 hare-bandit run --alpha -1 "$drinks"
	run -64 hare-bandit run --policy best "$drinks"
	run -64 hare-bandit learn "$drinks"
	run -64 hare-bandit estimate "$log"
	run -64 hare-bandit run --policy lints --model hybrid "$drinks"
}

@test "linucb alone is the default; with alpha or lambda it is exact on the features as they are" {
	printf 'label,x\n' > d.csv
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do printf '%s,%d %d.5\n' "$((i % 3))" "$((i * 7 % 5 * 100))" "$((i % 4))"; done >> d.csv
	hare-bandit run --arms 0,1,2 d.csv > default
	hare-bandit run --policy linucb --arms 0,1,2 d.csv | cmp - default
	hare-bandit run --policy linucb --alpha 0.35 --arms 0,1,2 d.csv > exact
	run -1 cmp -s exact default
}
