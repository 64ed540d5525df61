bats_require_minimum_version 1.5.0

setup_file() {
	cd "$BATS_FILE_TMPDIR"
	hare-embed fit --query-share 1 --query-var .05 --query-least 0 -o m -d 16 --clusters 4 --seed 1 -c title,description < "$BATS_TEST_DIRNAME/data/skills.csv"
	hare-embed -m m -c title,description < "$BATS_TEST_DIRNAME/data/skills.csv" | hare-pool build -m m -o p
	hare-embed fit -o other -d 16 --clusters 4 --seed 2 -c instructions < "$BATS_TEST_DIRNAME/data/skills.csv"
	# 3,000 rewards of 60 users, with times, ids and queries
	/usr/bin/python3 - "$BATS_TEST_DIRNAME/data/skills.csv" > events.csv <<-'PY'
		import csv, random, sys
		random.seed(5)
		ids = [r["id"] for r in csv.DictReader(open(sys.argv[1], encoding="utf-8"))]
		print("eid,user,item,reward,time,x")
		for i in range(3000):
		    x = " ".join("%.3f" % random.gauss(0, .25) for _ in range(16))
		    print(f"e{i},user{int(random.random() ** 4 * 60):02d},{random.choice(ids)},{int(random.random() < .3)},{1000 + i * 7},{x}")
	PY
	printf 'user,reward,x\n' > plain.csv
	awk 'BEGIN { srand(3); for (i = 0; i < 400; i++) printf "u%d,%d,%d %d %d\n", rand() * 9, rand() * 2, rand() * 7 - 3, rand() * 7 - 3, rand() * 7 - 3 }' >> plain.csv
}
setup() {
	cd "$BATS_TEST_TMPDIR"
	m="$BATS_FILE_TMPDIR/m"; p="$BATS_FILE_TMPDIR/p"; events="$BATS_FILE_TMPDIR/events.csv"; plain="$BATS_FILE_TMPDIR/plain.csv"
}
learn() { hare-update -m "$m" -p "$p" "$@"; }
plain() { hare-update --feature x --dim 3 "$@"; }
same_beliefs() { hare-state dump -s "$1" > left.csv && hare-state dump -s "$2" > right.csv && cmp left.csv right.csv; }

@test "update: nothing on stdout, nothing on stderr, a state for its owner alone" {
	run --separate-stderr learn -s s "$events"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	[ -z "$stderr" ]
	[ "$(stat -c %a s)" = 600 ]
	[ ! -e s-wal ]
	[ "$(hare-state info -s s | grep -c 'users,60\|^observations,3000')" -eq 2 ]
}
@test "update: a stream cut into any number of runs gives the same bits, clusters too" {
	learn -s whole < "$events"
	head -n 1 "$events" > head.csv
	for n in 1 2 37 400 1500; do
		tail -n +2 "$events" | head -n "$n" | cat head.csv - | learn -s cut"$n"
		tail -n +2 "$events" | tail -n +$((n + 1)) | cat head.csv - | learn -s cut"$n"
		same_beliefs whole cut"$n"
	done
	grep -q '^cluster,' left.csv
	grep -q ',observations,' left.csv
	grep -q ',sums,' left.csv
}
@test "update: twenty runs and one run give the same bits, with a half-life and the clock of the column time" {
	learn -s whole --half-life 3000 < "$events"
	[ "$(hare-state info -s whole | grep '^clock')" = clock,time ]
	for i in $(seq 0 19); do
		{ head -n 1 "$events"; tail -n +2 "$events" | tail -n +$((i * 150 + 1)) | head -n 150; } | learn -s parts --half-life 3000
	done
	same_beliefs whole parts
}
@test "update: the size of the buffer does not show" {
	for i in 1 2 3 4; do tail -n +2 "$events" | sed "s/^e/${i}e/; s/,user/,user$i/"; done | cat <(head -n 1 "$events") - > more.csv
	learn -s one more.csv
	learn -s small --buffer 1 more.csv
	[ "$(hare-state info -s small | grep ^generation)" != "$(hare-state info -s one | grep ^generation)" ]
	same_beliefs one small
}
@test "update: a rerun of a file changes nothing, not a byte" {
	learn -s s "$events"
	cp s before
	learn -s s "$events"
	cmp s before
	run learn -v -s s "$events"
	[[ "$output" == *"0 rows read, 0 learnt"* ]]
}
@test "update: a file that grew goes on where it ended, also behind a last row without line end" {
	head -n 1000 "$events" | head -c -1 > log.csv
	learn -s s log.csv
	{ echo; tail -n +1001 "$events"; } >> log.csv
	learn -s s log.csv
	learn -s whole "$events"
	same_beliefs whole s
}
@test "update: a last row that grew after it was learnt is refused" {
	printf 'user,reward,x\nann,1,0 0 1' > log.csv
	plain -s s log.csv
	printf '5\nann,0,1 1 1\n' >> log.csv
	run -65 --separate-stderr plain -s s log.csv
	[[ "$stderr" == *"log.csv:2: the row has grown"* ]]
}
@test "update: a file changed under its name is refused, and named" {
	head -n 500 "$events" > log.csv
	learn -s s log.csv
	sed -i '3s/,0,/,1,/; 3s/,1,/,0,/' log.csv
	sed -i '3s/user/usex/' log.csv
	run -65 --separate-stderr learn -s s log.csv
	[[ "$stderr" == "hare-update: $PWD/log.csv: is no longer what it was when its first 499 rows were learnt into s;"* ]]
	head -n 200 "$events" > log.csv
	run -65 --separate-stderr learn -s s log.csv
	[[ "$stderr" == *"is no longer what it was"* ]]
	# at the end, far behind the first 4 kB
	head -n 500 "$events" > log2.csv
	learn -s s2 log2.csv
	sed -i '500s/user/usex/' log2.csv
	run -65 --separate-stderr learn -s s2 log2.csv
	run -0 learn -s s2 --source again log2.csv
}
@test "update: a gzip file is learnt once too, and goes on where it ended" {
	gzip -c "$events" > log.csv.gz
	learn -s s --buffer 1 log.csv.gz
	learn -s s log.csv.gz
	learn -s whole "$events"
	same_beliefs whole s
	{ cat "$events"; printf 'last,ann,%s,1,99999,\n' "$(sed -n 2p "$events" | cut -d, -f3)"; } | gzip -c > log.csv.gz
	run learn -v -s s log.csv.gz
	[[ "$output" == *"1 rows read, 1 learnt"* ]]
}
@test "update: a named stream is learnt once" {
	head -n 900 "$events" | learn -s s --source clicks
	learn -s s --source clicks < "$events"
	learn -s s --source clicks < "$events"
	learn -s whole < "$events"
	same_beliefs whole s
	sed 's/user00/user99/' "$events" > changed.csv
	run -65 --separate-stderr learn -s s --source clicks < changed.csv
	[[ "$stderr" == *"clicks: is no longer what it was"* ]]
}
@test "update: an event with an id is learnt once for ever, from whatever input" {
	head -n 900 "$events" | learn -s s --event-id eid
	learn -s s --event-id eid < "$events"
	learn -s s --event-id eid --source x "$events"
	learn -s whole < "$events"
	same_beliefs whole s
	run learn -v -s s --event-id eid < "$events"
	[[ "$output" == *"3000 rows read, 0 learnt, 3000 learnt before"* ]]
}
@test "update: the same id twice in one input is learnt once" {
	printf 'id,user,reward,x\na,ann,1,1 0 0\na,ann,0,0 1 0\nb,ann,1,0 0 1\n' | plain -s s --event-id id
	printf 'user,reward,x\nann,1,1 0 0\nann,1,0 0 1\n' | plain -s t
	same_beliefs s t
}
@test "update: several files are several sources, each learnt once" {
	head -n 800 "$events" > a.csv
	{ head -n 1 "$events"; tail -n +801 "$events"; } > b.csv
	learn -s s a.csv b.csv
	learn -s s a.csv b.csv
	learn -s whole "$events"
	same_beliefs whole s
	[ "$(hare-state info -s s | grep ^sources)" = sources,2 ]
}
@test "update: several files at once are learnt as one after the other, also where only the later has queries" {
	cut -d, -f1-5 "$events" | head -n 200 > bare.csv
	head -n 300 "$events" > full.csv
	learn -s together bare.csv full.csv
	learn -s apart bare.csv
	learn -s apart full.csv
	same_beliefs together apart
	hare-state dump -s together | grep -q ^cluster
}
@test "update: beliefs are those of the formulas, for each feature" {
	hare-update -s s --feature x --dim 3 --lambda 2 --noise-var .5 --base-rate .1 < "$plain"
	hare-state dump --mean -s s > mean.csv
	/usr/bin/python3 - "$plain" mean.csv <<-'PY'
		import csv, sys, numpy as np
		rows = list(csv.DictReader(open(sys.argv[1])))
		for m in csv.DictReader(open(sys.argv[2])):
		    f = np.array([r["x"].split() for r in rows if r["user"] == m["user"]], float)
		    y = np.array([float(r["reward"]) - .1 for r in rows if r["user"] == m["user"]])
		    L = 2 * np.eye(3) + f.T @ f / .5
		    assert int(m["n"]) == len(f)
		    assert np.allclose(np.array(m["mean"].split(), float), np.linalg.solve(L, f.T @ y / .5), rtol=1e-5, atol=1e-7)
		    assert np.isclose(float(m["uncertainty"]), np.trace(np.linalg.inv(L)) * 2 / 3, rtol=1e-9)
	PY
	# an item's features are its vector minus the mean of the model, as are those of a blend
	item=$(sed -n 2p "$events" | cut -d, -f3)
	printf 'user,item,reward\nann,%s,1\n' "$item" | learn -s i
	hare-pool get "$p" "$item" > item.csv
	/usr/bin/python3 -c 'import csv; r = next(csv.DictReader(open("item.csv"))); print("user,z,reward\nann,%s,1" % r["x"])' | hare-update -m "$m" --feature z -s z
	# behind an item's, what a query said: here there was none
	diff <(hare-state dump --text -s i | grep ^user) <(hare-state dump --text -s z | sed -n 's/^user.*/& 0/p')
}
@test "update: what the query says of an item is learnt beside the item, with its own prior; without a query it says nothing" {
	head -n 80 "$events" | cut -d, -f 2,3,4,6 | awk -F, -v OFS=, 'NR % 4 == 2 { $4 = "" } { print }' > few.csv
	learn -s s few.csv
	learn -s t --no-clusters few.csv
	diff <(hare-state dump -s s | grep ^user) <(hare-state dump -s t | grep ^user)
	hare-state dump --mean -s s > mean.csv
	hare-state dump --text -s s > text.csv
	[ "$(head -n 1 mean.csv)" = user,n,first,last,uncertainty,mean,query_weight ]
	hare-pool dump "$p" > pool.csv
	/usr/bin/python3 - few.csv mean.csv pool.csv "$m" text.csv <<-'PY'
		import csv, json, struct, sys, numpy as np
		csv.field_size_limit(1 << 30)
		raw = open(sys.argv[4], "rb").read()
		n = struct.unpack("<Q", raw[:8])[0]
		a, b = json.loads(raw[8:8 + n])["mean"]["data_offsets"]
		xbar = np.frombuffer(raw[8 + n + a:8 + n + b], "<f4").astype(float)
		pool = {r["id"]: np.array(r["x"].split(), "f4").astype(float) for r in csv.DictReader(open(sys.argv[3], encoding="utf-8"))}
		P, m0 = np.diag([100.] * 16 + [1 / .05]), np.array([0.] * 16 + [.5])
		belief, seen = {}, {}
		for r in csv.DictReader(open(sys.argv[1], encoding="utf-8")):
		    L, b = belief.setdefault(r["user"], [P.copy(), P @ m0])
		    f = pool[r["item"]] - xbar
		    f = np.append(f, f @ np.array(r["x"].split(), "f4").astype(float) if r["x"] else 0)
		    L += np.outer(f, f) / .05
		    b += f * (float(r["reward"]) - .01) / .05
		    seen.setdefault(r["user"], []).append(f)
		found = list(csv.DictReader(open(sys.argv[2])))
		assert len(found) == len(belief) > 5
		for r in found:
		    L, b = belief[r["user"]]
		    mean = np.linalg.solve(L, b)
		    assert np.allclose(np.array(r["mean"].split(), float), mean[:16], rtol=1e-4, atol=1e-6)
		    assert np.isclose(float(r["query_weight"]), 2 * mean[16], rtol=1e-6)
		    assert np.isclose(float(r["uncertainty"]), np.trace(np.linalg.inv(L)[:16, :16]) * 100 / 16, rtol=1e-6)
		checked = 0
		for r in csv.DictReader(open(sys.argv[5])):
		    if r["form"] == "observations":
		        rows = np.array(r["value"].split(), float).reshape(int(r["n"]), 2 + 17)
		        assert np.allclose(rows[:, 2:], seen[r["key"]], rtol=1e-4, atol=1e-6)
		        checked += (rows[:, 18] == 0).sum()
		assert checked > 3
	PY
	# nothing heard, nothing learnt of it
	cut -d, -f 1-3 few.csv | learn -s u
	[ "$(hare-state dump --mean -s u | tail -n +2 | cut -d, -f 7 | sort -u)" = 1 ]
}
@test "update: --query-var is fixed when a state first learns, and is kept by the state" {
	head -n 40 "$events" > few.csv
	learn -s s --query-var 0 few.csv
	[ "$(hare-state info -s s | grep ^query_var)" = query_var,0 ]
	[ "$(hare-state dump --mean -s s | tail -n +2 | cut -d, -f 7 | sort -u)" = 1 ]
	tail -n +41 "$events" | cat <(head -n 1 "$events") - | learn -s s
	learn -s whole --query-var 0 < "$events"
	same_beliefs s whole
	run -65 --separate-stderr learn -s s --query-var .1 < "$events"
	[[ "$stderr" == *"s has query variance 0, this run ($m) has 0.1" ]]
	learn -s t few.csv
	[ "$(hare-state info -s t | grep ^query_var)" = query_var,0.05 ]
	run -65 --separate-stderr hare-state merge -o no s t
	[[ "$stderr" == *"s has query variance 0, t has 0.05" ]]
	run -64 learn -s new --query-var -1 few.csv
	run -64 hare-update -m "$m" -s new --feature z --query-var 1 few.csv
	[ ! -e new ]
}
@test "update: beliefs with queries keep through dump, load, merge and forget" {
	learn -s s < "$events"
	hare-state dump -s s > d.csv
	hare-state load -s t d.csv
	same_beliefs s t
	hare-state dump --text -s s | hare-state load -s u
	same_beliefs s u
	awk 'NR == 1 || NR % 2' "$events" | learn -s a
	awk 'NR == 1 || NR % 2 == 0' "$events" | learn -s b
	hare-state merge -o ab a b
	hare-state merge -o ba b a
	same_beliefs ab ba
	hare-state check -s ab
	# the same observations in another order: the same beliefs to rounding
	hare-state dump --mean -s ab > ab.csv
	hare-state dump --mean -s s > s.csv
	/usr/bin/python3 - <<-'PY'
		import csv
		for a, b in zip(csv.DictReader(open("ab.csv")), csv.DictReader(open("s.csv")), strict=True):
		    assert a["user"] == b["user"] and abs(float(a["query_weight"]) - float(b["query_weight"])) < 1e-9
		    assert all(abs(float(p) - float(q)) < 1e-6 for p, q in zip(a["mean"].split(), b["mean"].split(), strict=True))
	PY
	hare-state forget -s s user00
	run -65 hare-state dump -s s user00
	hare-state check -s s
}
@test "update: a state of items that was learnt before queries were heard is refused, and says what to do" {
	learn -s s < "$events"
	hare-state dump -s s | grep -v '^setting,query_var' > old.csv
	run -65 --separate-stderr hare-state load -s old old.csv
	[[ "$stderr" == *"was learnt by an earlier version, which did not keep what queries said; learn the rewards anew into another state" ]]
	[ ! -e old ]
	# of vectors as they are, and of blends, nothing has changed
	plain -s x < "$plain"
	hare-state dump -s x > old.csv
	run -1 grep query_var old.csv
	hare-state load -s old old.csv
	plain -s old < "$plain"
	plain -s x < "$plain"
	diff <(hare-state dump -s old | grep ^user) <(hare-state dump -s x | grep ^user)
}
@test "update: a query beyond any vector of a text is a bad row" {
	item=$(sed -n 2p "$events" | cut -d, -f3)
	printf 'user,item,reward,x
ann,%s,1,1e30 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
' "$item" > far.csv
	run -65 --separate-stderr learn -s s far.csv
	[[ "$stderr" == *"far.csv:2: column x: expected a vector of about unit length, got length 1"* ]]
}
@test "update: interests that fade: with a half-life the latest reward counts more" {
	printf 'user,reward,x\nann,1,1 0 0\nann,0,1 0 0\n' > up.csv
	for h in 0 .5; do hare-update -s s$h --feature x --dim 3 --lambda 1 --noise-var 1 --base-rate 0 --half-life $h < up.csv; done
	first=$(hare-state dump --mean -s s0 | tail -n 1 | cut -d, -f6 | cut -d' ' -f1)
	fading=$(hare-state dump --mean -s s.5 | tail -n 1 | cut -d, -f6 | cut -d' ' -f1)
	# 1 / 3 against (1/4) / (1 + 5/4)
	[ "$first" = 0.33333334 ]
	[ "$fading" = 0.11111111 ]
}
@test "update: other settings than those of the state are refused, both named" {
	plain -s s < "$plain"
	printf 'user,reward,x\nann,1,1 2\n' > two.csv
	run -65 --separate-stderr hare-update -s s --feature x --dim 2 two.csv
	[ "$stderr" = "hare-update: s has dimension 3, the command line has 2" ]
	run -65 --separate-stderr plain -s s --half-life 5 "$plain"
	[ "$stderr" = "hare-update: s has half-life 0, the command line has 5" ]
	run -65 --separate-stderr plain -s s --lambda 1 "$plain"
	[[ "$stderr" == *"s has lambda 100, the command line has 1" ]]
	learn -s t < "$events"
	run -65 --separate-stderr hare-update -m "$BATS_FILE_TMPDIR/other" --feature x -s t "$events"
	[[ "$stderr" == "hare-update: t has embedding space "*", this run ($BATS_FILE_TMPDIR/other) has "* ]] || { echo "$stderr"; false; }
	run -65 --separate-stderr hare-update -m "$m" --feature x -s t "$events"
	[[ "$stderr" == *"t has feature item, this run ($m) has x" ]]
	run -65 --separate-stderr learn -s t --clock event "$events"
	[[ "$stderr" == *"t has clock time, "*" has event" ]]
	run -65 --separate-stderr hare-update -m "$BATS_FILE_TMPDIR/other" -p "$p" -s new "$events"
	[ ! -e new ]
}
@test "update: a bad row stops the run; those before it are learnt, and the mended file goes on there" {
	head -n 100 "$events" > log.csv
	printf 'x,ann,no-such-item,1,5,\n' >> log.csv
	sed -n '101,200p' "$events" >> log.csv
	run -65 --separate-stderr learn -s s log.csv
	[ "$stderr" = 'hare-update: log.csv:101: column item: expected an item of the pool, got "no-such-item"' ]
	[ "$(hare-state info -s s | grep ^observations)" = observations,99 ]
	sed -i 101d log.csv
	learn -s s log.csv
	head -n 200 "$events" | learn -s whole
	same_beliefs whole s
}
@test "update: --skip-bad passes over bad rows and counts them" {
	{ head -n 10 "$events"; printf 'x,ann,no-such-item,1,5,\nx,ann,%s,high,5,\n' "$(sed -n 2p "$events" | cut -d, -f3)"; sed -n 11,20p "$events"; } > log.csv
	run -0 --separate-stderr learn --skip-bad -s s log.csv
	[[ "$stderr" == *'log.csv:11: column item: '*'log.csv:12: column reward: '*'2 bad rows skipped'* ]]
	[ "$(hare-state info -s s | grep ^observations)" = observations,19 ]
	run -0 --separate-stderr learn -s s log.csv
	[ -z "$stderr" ]
}
@test "update: what is wrong with a row is said with line and column" {
	bad() { rm -f s; printf '%s' "$1" > bad.csv; run -65 --separate-stderr plain -s s bad.csv; [[ "$stderr" == "hare-update: bad.csv$2"* ]] || { echo "$stderr"; return 1; }; }
	bad $'user,reward,x\nann,2,0 0 1\n' ':2: column reward: expected a reward from 0 to 1'
	bad $'user,reward,x\nann,-.1,0 0 1\n' ':2: column reward: expected a reward from 0 to 1'
	bad $'user,reward,x\nann,nan,0 0 1\n' ':2: column reward:'
	bad $'user,reward,x\nann,,0 0 1\n' ':2: column reward:'
	bad $'user,reward,x\nann,1,0 0 1\nann,1,0 0\n' ':3: column x: expected 3 numbers, got 2'
	bad $'user,reward,x\nann,1,0 0 inf\n' ':2: column x:'
	bad $'user,reward,x\n,1,0 0 1\n' ':2: column user: expected a user'
	bad $'user,x\nann,0 0 1\n' ':'
	[[ "$stderr" == *reward* && "$stderr" == *user* ]]
	bad $'user,reward,x\nann,1\n' ':2:'
	bad $'user,reward,x\nann,"1,0 0 1\n' ':'
	bad '' ':'
	run -66 plain -s s absent.csv
	run -66 plain -s s "$BATS_TEST_TMPDIR"
}
@test "update: rewards outside of 0 to 1 with --any-reward" {
	printf 'user,reward,x\nann,-3.5,0 0 1\n' > any.csv
	run -0 plain --any-reward -s s any.csv
}
@test "update: a reward beyond any sum is a bad row, and what was learnt stays readable" {
	{ echo user,reward,x; for i in $(seq 30); do echo "ann,1e12,0 $((i % 3)) 1"; done; } > large.csv
	plain --any-reward -s s large.csv
	hare-state dump -s s | grep -q ,sums,
	run -0 hare-state dump --mean -s s
	printf 'user,reward,x\nbob,1,0 0 1\nann,-1e200,0 0 1\n' > beyond.csv
	run -65 --separate-stderr plain --any-reward -s s beyond.csv
	[[ "$stderr" == *"beyond.csv:3: column reward: expected a reward of at most 1e+12, got -1e+200" ]]
	hare-state check -s s
}
@test "update: a header alone makes a state that knows its settings" {
	printf 'user,reward,x\n' | plain -s s
	[ "$(hare-state info -s s | grep ^dim)" = dim,3 ]
	[ "$(hare-state info -s s | grep ^users)" = users,0 ]
}
@test "update: users are any bytes: quotes, commas, line ends, UTF-8, NUL, 1 MB" {
	printf 'user,reward,x\n"a ""b"", c\nd",1,0 0 1\nżółw,1,0 1 0\n' > odd.csv
	printf 'n\0l,1,1 0 0\n' >> odd.csv
	head -c 1000000 /dev/zero | tr '\0' y >> odd.csv
	printf ',1,1 0 1\n' >> odd.csv
	plain -s s odd.csv
	[ "$(hare-state info -s s | grep ^users)" = users,4 ]
	hare-state dump -s s > d.csv
	hare-state load -s t d.csv
	same_beliefs s t
	hare-state check -s t
}
@test "update: CRLF, a BOM, and other names of columns" {
	printf '\357\273\277who,stars,vec\r\nann,1,0 0 1\r\n' | plain -s s --col user=who,reward=stars,x=vec
	printf 'user\treward\tx\nann\t1\t0 0 1\n' | plain -T -s t
	same_beliefs s t
}
@test "update: wrong command lines are 64 and leave no state" {
	run -64 --separate-stderr hare-update -s s "$events"
	[[ "$stderr" == *"expected a MODEL"* ]]
	run -64 hare-update -m "$m" -s s "$events"
	run -64 hare-update -m "$m" -p "$p" "$events"
	run -64 hare-update -s s --feature x "$plain"
	run -64 plain -s s --half-life -1 "$plain"
	run -64 plain -s s --source a "$plain" "$plain"
	run -64 plain -s s --buffer 0 "$plain"
	run -64 plain -s s --feature y "$plain"
	[ ! -e s ]
}
@test "update: a log that is followed is committed while it is open" {
	mkfifo pipe
	plain -u -s s < pipe &
	exec 8> pipe
	printf 'user,reward,x\nann,1,0 0 1\n' >&8
	for _ in $(seq 100); do [ -e s ] && hare-state info -s s | grep -q '^observations,1' && break; sleep .1; done
	hare-state info -s s | grep -q '^observations,1'
	exec 8>&-
	wait
}
@test "update: queries widen what is known of clusters only where items were shown to them" {
	learn -s with < "$events"
	learn -s without --no-clusters < "$events"
	hare-state dump -s with | grep -q ^cluster
	run -1 grep ^cluster <(hare-state dump -s without)
	diff <(hare-state dump -s with | grep ^user) <(hare-state dump -s without | grep ^user)
	[ "$(hare-state dump -s with | awk -F, '/^cluster/ { n += $3 } END { print n }')" -eq 3000 ]
}
@test "update: the covariance of a cluster is that of the formulas" {
	head -n 60 "$events" > few.csv
	learn -s s --clock event < few.csv
	hare-state dump -s s > dump.csv
	hare-pool dump "$p" > pool.csv
	/usr/bin/python3 - few.csv dump.csv pool.csv "$m" <<-'PY'
		import base64, csv, json, struct, sys, numpy as np
		csv.field_size_limit(1 << 30)
		raw = open(sys.argv[4], "rb").read()
		n = struct.unpack("<Q", raw[:8])[0]
		head = json.loads(raw[8:8 + n])
		def tensor(name):
		    a, b = head[name]["data_offsets"]
		    return np.frombuffer(raw[8 + n + a:8 + n + b], "<f4").reshape(head[name]["shape"]).astype(float)
		centre, mean = tensor("centre"), tensor("mean")
		pool = {r["id"]: np.array(r["x"].split(), "f4").astype(float) for r in csv.DictReader(open(sys.argv[3], encoding="utf-8"))}
		seen, S = {}, {}
		for r in csv.DictReader(open(sys.argv[1], encoding="utf-8")):
		    F = seen.setdefault(r["user"], [])
		    # weights of the features, and of what the query said of them: N(0, 1/100) and N(1/2, .05)
		    L, b = np.diag([100.] * 16 + [20]), np.array([0.] * 16 + [10])
		    for f, y in F:
		        L += np.outer(f, f) / .05
		        b += f * (y - .01) / .05
		    mean_u = np.linalg.solve(L, b)
		    x = np.array(r["x"].split(), "f4").astype(float)
		    q = 2 * (mean_u[16] * x + mean_u[:16])
		    q /= np.linalg.norm(q)
		    c = int(np.argmax(centre @ pool[r["item"]]))
		    S[c] = S.get(c, 0) + np.outer(q, q)
		    f = pool[r["item"]] - mean
		    F.append((np.append(f, f @ x), float(r["reward"])))
		found = {int(r["key"]): np.frombuffer(base64.b64decode(r["value"][4:]), "<f8") for r in csv.DictReader(open(sys.argv[2], encoding="utf-8")) if r["kind"] == "cluster"}
		assert found.keys() == S.keys(), (found.keys(), S.keys())
		for c in S:
		    assert np.allclose(found[c], S[c][np.tril_indices(16)], rtol=1e-4, atol=1e-5), c
	PY
}
