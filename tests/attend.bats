#!/usr/bin/env bats
# hare-attend in pipes
bats_require_minimum_version 1.5.0

setup_file() {
	cd "$BATS_FILE_TMPDIR"
	data=$BATS_TEST_DIRNAME/data
	hare-embed fit -q --query-share 1 --query-var .05 --query-least 0 -o m -c title,description "$data/skills.csv"
	hare-embed -q -m m -c title,description "$data/skills.csv" > texts.csv
	hare-pool build -m m -o p texts.csv
	# a space of two dimensions, and a pool that can be done by hand
	hare-embed fit -q --query-share 1 --query-var .05 --query-least 0 -d 2 -o m2 -c title,description "$data/skills.csv"
	printf 'id,x\neast,1 0\nnorth,0 1\nnortheast,.6 .8\nwest,-1 0\nsouth,0 -1\n' > hand.csv
	hare-pool build -m m2 -o p2 hand.csv
	# what ann and bob were shown, and what it was worth to them
	awk 'BEGIN { srand(3) } { print rand() "\t" $0 }' < <(hare-pool dump p | hare_ids) | sort -n | cut -f 2 > ids
	{ echo user,item,reward
	  head -n 30 ids | awk '{ print "ann," $1 "," (NR % 3 == 0) }'
	  tail -n 12 ids | awk '{ print "bob," $1 "," (NR % 2) }'; } > shown.csv
	# two of three were answers to a query: here the text of another item
	hare-pool dump p > pool.csv
	/usr/bin/python3 - > rewards.csv <<-'PY'
		import csv
		csv.field_size_limit(1 << 30)
		x = [r["x"] for r in csv.DictReader(open("pool.csv"))]
		print("user,item,reward,x")
		for i, r in enumerate(csv.DictReader(open("shown.csv"))):
		    print(r["user"], r["item"], r["reward"], x[i * 7 % len(x)] if i % 3 else "", sep=",")
	PY
	hare-update -m m -s s -p p --no-clusters rewards.csv
	{ echo user,query
	  for u in ann bob new ''; do for q in 'I need help writing tests' 'deploy a service' 'xyzzy'; do echo "$u,$q"; done; done; } > asked.csv
	hare-embed -q -m m -c query asked.csv > q.csv
}

hare_ids() { /usr/bin/python3 -c 'import csv, sys
csv.field_size_limit(1 << 30)
for row in csv.DictReader(sys.stdin): print(row["id"])'; }

setup() {
	cd "$BATS_TEST_TMPDIR"
	export f=$BATS_FILE_TMPDIR
	m=$f/m p=$f/p s=$f/s m2=$f/m2 p2=$f/p2 q=$f/q.csv
}

# column NAME of CSV on stdin, one cell a line
column() { /usr/bin/python3 -c 'import csv, sys
csv.field_size_limit(1 << 30)
for row in csv.DictReader(sys.stdin): print(row[sys.argv[1]])' "$1"; }

@test "other columns pass byte for byte, and the new ones stand behind them" {
	printf 'note,x, odd \n"a, ""b""",1 0,"plain"\n  blanks  ,0 1,\n' > q.csv
	run -0 --separate-stderr hare-attend -m "$m2" -p "$p2" q.csv
	[ "${lines[0]}" = 'note,x, odd ,z,items,weights,entropy,uncertainty' ]
	[[ "${lines[1]}" == '"a, ""b""",1 0,"plain",'* ]]
	[[ "${lines[2]}" == '  blanks  ,0 1,,'* ]]
	[ "${#lines[@]}" -eq 3 ]
	[ -z "$stderr" ]
}

@test "a pool done by hand: the nearest first, of equals the first in the pool" {
	printf 'x\n1 0\n' > q.csv
	run -0 hare-attend -m "$m2" -p "$p2" -k 5 q.csv
	[[ "${lines[1]}" == *',east northeast north south west,'* ]]
	printf 'x\n0 0\n' > q.csv
	run -0 hare-attend -m "$m2" -p "$p2" -k 5 --kappa 0 q.csv
	[[ "${lines[1]}" == *',east north northeast west south,0.2 0.2 0.2 0.2 0.2,1.6094'* ]]
}

@test "weights, z, entropy and uncertainty are those of the formulas, for strangers and for known users" {
	hare-attend -m "$m" -p "$p" -s "$s" -k 7 "$q" > out.csv
	hare-attend -m "$m" -p "$p" -s "$s" -k 7 --explain "$q" > why.csv
	cp "$f/pool.csv" .
	cat > twin.py <<'PY'
import csv, json, struct, sys
import numpy as np
csv.field_size_limit(1 << 30)
vec = lambda s: np.array(s.split(), dtype=np.float32).astype(np.float64)
raw = open(sys.argv[1], 'rb').read()
n = struct.unpack('<Q', raw[:8])[0]
head = json.loads(raw[8:8 + n])
def tensor(name):
    t = head[name]
    a, b = t['data_offsets']
    return np.frombuffer(raw[8 + n + a:8 + n + b], '<f4').reshape(t['shape']).astype(np.float64)
mean = tensor('mean')
rows = list(csv.DictReader(open('pool.csv')))
X = np.array([vec(r['x']) for r in rows])
ids = [r['id'] for r in rows]
N, d = X.shape
S = X @ X.T
beta = np.sqrt(2 * np.log(N)) / S[~np.eye(N, dtype=bool)].std()
lam, s2, b0, g, kappa, qv = 100, .05, .01, 2, .2, float(sys.argv[3])
# the last number is what the query said; its weight has a prior of its own
P, m0 = np.diag([lam] * d + [1 / qv]), np.append(np.zeros(d), 1 / g)
belief = {}
for e in csv.DictReader(open(sys.argv[2])):
    L, b = belief.setdefault(e['user'], [P.copy(), P @ m0])
    f = X[ids.index(e['item'])] - mean
    f = np.append(f, vec(e['x']) @ f if e['x'] else 0)
    L += np.outer(f, f) / s2
    b += f * (float(e['reward']) - b0) / s2
def close(got, want, what, floor=1e-3):
    off = np.abs(np.asarray(got) - want).max() / max(np.abs(want).max(), floor)
    assert off < 1e-5, (what, off, got, want)
why = list(csv.DictReader(open('why.csv')))
for i, r in enumerate(csv.DictReader(open('out.csv'))):
    L, b = belief.get(r['user'], (P, P @ m0))
    u, C = np.linalg.solve(L, b), np.linalg.inv(L)
    u, w = u[:d], u[d]
    x = vec(r['x'])
    l = beta * (X @ (g * w * x + g * u))
    assert (r['user'] in belief) == (abs(g * w - 1) > 1e-3)
    best = np.argsort(-l, kind='stable')[:64]
    A0 = np.exp(l[best] - l.max())
    A0 /= A0.sum()
    F = X[best] - mean
    F = np.c_[F, F @ x]
    tau2 = A0 @ np.einsum('ij,jk,ik->i', F, C, F)
    T = np.sqrt(1 + kappa * np.pi / 8 * beta ** 2 * g ** 2 * tau2)
    A = np.exp((l - l.max()) / T)
    A /= A.sum()
    top = r['items'].split()
    close(vec(r['z']), A @ X, 'z')
    close(vec(r['weights']), A[[ids.index(t) for t in top]], 'weights')
    close(float(r['entropy']), -(A * np.log(A)).sum(), 'entropy')
    close(float(r['uncertainty']), np.sqrt(tau2), 'tau')
    if np.any(x) or np.any(u):
        assert top == [ids[j] for j in np.argsort(-l, kind='stable')[:7]], (top, i)
    for k, e in enumerate(why[7 * i:7 * i + 7]):
        j = ids.index(e['item'])
        assert e['item'] == top[k] and int(e['rank']) == k + 1
        close(float(e['content']), beta * g * w * X[j] @ x, 'content', 1)
        close(float(e['personal']), beta * g * X[j] @ u, 'personal', 1)
        close(float(e['temperature']), T, 'T')
        close(float(e['weight']), A[j], 'weight')
assert i == 11
PY
	/usr/bin/python3 twin.py "$m" "$f/rewards.csv" .05
	# the prior may change after the rewards were learnt
	hare-attend -m "$m" -p "$p" -s "$s" -k 7 --query-var .5 "$q" > out.csv
	hare-attend -m "$m" -p "$p" -s "$s" -k 7 --query-var .5 --explain "$q" > why.csv
	/usr/bin/python3 twin.py "$m" "$f/rewards.csv" .5
}

@test "a user whose queries lead to nothing is answered by taste; with --query-var 0 queries say what they say" {
	/usr/bin/python3 - > vain.csv <<'PY'
import csv
csv.field_size_limit(1 << 30)
import os
rows = list(csv.DictReader(open(os.environ['f'] + '/pool.csv')))
print('user,item,reward,x')
for r in rows[:40]:
    print('ann', r['id'], 0, r['x'], sep=',')         # what was asked for was shown, and was worth nothing
PY
	hare-update -m "$m" -p "$p" -s vain vain.csv
	content() { hare-attend -m "$m" -p "$p" -k 1 --alpha 0 --explain "$@" <(sed -n '1p;2p' "$q") | column content; }
	stranger=$(content)
	awk -v a="$(content -s vain)" -v b="$stranger" 'BEGIN { exit !(a < b / 2) }'
	hare-attend -m "$m" -p "$p" -s vain --query-var 0 -k 150 --alpha 0 --explain <(sed -n '1p;2p' "$q") > all.csv
	hare-attend -m "$m" -p "$p" -k 150 --alpha 0 --explain <(sed -n '1p;2p' "$q") > new.csv
	content_by_item() { /usr/bin/python3 -c 'import csv, sys
csv.field_size_limit(1 << 30)
for r in csv.DictReader(sys.stdin): print(r["item"], r["content"])' | sort; }
	content_by_item < all.csv > a
	content_by_item < new.csv > b
	cmp a b
}

@test "the parts of an explanation sum to the logit" {
	hare-attend -m "$m" -p "$p" -s "$s" -k 20 --explain --no-x --text title "$q" > why.csv
	[ "$(head -n 1 why.csv)" = 'user,query,rank,item,weight,content,personal,bonus,temperature,logit,title' ]
	[ "$(wc -l < why.csv)" -eq 241 ]
	awk -F, 'NR > 1 { d = $6 + $7 + $8 - $10; if (d < 0) d = -d; if (d > 1e-9) exit 1 }' why.csv
	[ -n "$(column title < why.csv | head -n 1)" ]
}

@test "one record at a time, all at once, any number of threads, any order: the same bytes" {
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17; do tail -n +2 "$q" | awk -v i=$i '{ print i "," $0 }'; done > rows
	head="id,$(head -n 1 "$q")"
	{ echo "$head"; cat rows; } > all.csv
	hare-attend -m "$m" -p "$p" -s "$s" --choose 2 --threads 1 all.csv > one
	hare-attend -m "$m" -p "$p" -s "$s" --choose 2 --threads 2 all.csv > two
	cmp one two
	{ echo "$head"; awk 'BEGIN { srand(8) } { print rand() "\t" $0 }' rows | sort -n | cut -f 2-; } > mixed.csv
	hare-attend -m "$m" -p "$p" -s "$s" --choose 2 --threads 3 mixed.csv > three
	sort one > a; sort three > b
	cmp a b
	{ echo "$head"; while IFS= read -r line; do echo "$line"; sleep .01; done < rows | head -n 24; } |
		hare-attend -m "$m" -p "$p" -s "$s" --choose 2 > slow
	head -n 25 one | cmp - slow
}

@test "a pool in two files gives the bytes of the pool in one" {
	hare-pool shard -n 2 -o part "$p"
	hare-attend -m "$m" -p "$p" -s "$s" "$q" > whole
	hare-attend -m "$m" -p part.0 -p part.1 -s "$s" "$q" > parts
	cmp whole parts
}

@test "two users get different answers, and a known user's attention is narrower than a stranger's" {
	hare-attend -m "$m" -p "$p" -s "$s" "$q" > out.csv
	column items < out.csv > items
	[ "$(sed -n 1p items)" != "$(sed -n 4p items)" ]
	[ "$(sed -n 1p items)" != "$(sed -n 7p items)" ]
	[ "$(sed -n 7p items)" = "$(sed -n 10p items)" ]         # an empty name is nobody
	column entropy < out.csv | awk 'NR == 1 { known = $1 } NR == 7 { exit !(known < $1) }'
	column uncertainty < out.csv | awk 'NR == 1 { known = $1 } NR == 7 { exit !(known < $1) }'
}

@test "without a state, and without a column user, everybody is nobody" {
	hare-attend -m "$m" -p "$p" "$q" > out.csv
	[ "$(column items < out.csv | sed -n 1p)" = "$(column items < out.csv | sed -n 7p)" ]
	hare-embed -q -m "$m" -c query <(printf 'query\nI need help writing tests\n') |
		hare-attend -m "$m" -p "$p" -s "$s" > nobody.csv
	[ "$(column z < out.csv | sed -n 1p)" = "$(column z < nobody.csv)" ]
}

@test "a STATE that is not there yet: everybody is new, which is one line on stderr" {
	run -0 --separate-stderr hare-attend -m "$m" -p "$p" -s none "$q"
	[ "$stderr" = 'hare-attend: none: not there yet: every user is new' ]
	[ ! -e none ]
	hare-attend -m "$m" -p "$p" "$q" > without
	hare-attend -q -m "$m" -p "$p" -s none "$q" 2> err | cmp - without
	[ ! -s err ]
}

@test "a STATE that appears while records are awaited is used" {
	mkfifo pipe
	hare-attend -q -m "$m" -p "$p" -s later < pipe > out 3>&- & pid=$!
	exec 9> pipe
	head -n 2 "$q" >&9
	for i in $(seq 200); do [ "$(wc -l < out)" -ge 2 ] && break; sleep .05; done
	cp "$s" later
	sed -n 2p "$q" >&9
	exec 9>&-
	wait $pid
	hare-attend -m "$m" -p "$p" "$q" | sed -n 2p > a
	hare-attend -m "$m" -p "$p" -s "$s" "$q" | sed -n 2p > b
	sed -n 2p out | cmp - a
	sed -n 3p out | cmp - b
}

@test "a record is answered while the next is awaited" {
	mkfifo pipe
	hare-attend -m "$m" -p "$p" < pipe > out 3>&- & pid=$!
	exec 9> pipe
	head -n 2 "$q" >&9
	for i in $(seq 200); do [ "$(wc -l < out)" -ge 2 ] && break; sleep .05; done
	[ "$(wc -l < out)" -eq 2 ]
	exec 9>&-
	wait $pid
}

@test "lists are as long as asked for, and no longer than the pool" {
	printf 'x\n1 0\n' > q.csv
	hare-attend -m "$m2" -p "$p2" -k 2 q.csv > out.csv
	[ "$(column items < out.csv)" = 'east northeast' ]
	hare-attend -m "$m2" -p "$p2" -k 100 q.csv > out.csv
	[ "$(column items < out.csv | wc -w)" -eq 5 ]
	column weights < out.csv | awk '{ for (i = 1; i <= NF; i++) s += $i; exit !(s > .99999 && s < 1.00001) }'
}

@test "draws follow the weights: 3,000 records, chi-square" {
	awk 'BEGIN { print "id,x"; for (i = 0; i < 3000; i++) print i ",.28 .96" }' > q.csv
	hare-attend -m "$m2" -p "$p2" -k 5 --choose 1 --seed 4 q.csv > out.csv
	/usr/bin/python3 - <<'PY'
import csv
count, weight = {}, {}
for r in csv.DictReader(open('out.csv')):
    weight = dict(zip(r['items'].split(), r['weights'].split()))
    assert r['propensity'] == weight[r['item']], r
    count[r['item']] = count.get(r['item'], 0) + 1
chi = sum((count.get(i, 0) - 3000 * float(w)) ** 2 / (3000 * float(w)) for i, w in weight.items())
assert chi < 18.47, (chi, count, weight)        # .999 point, 4 degrees of freedom
PY
}

@test "draws depend on the seed and the record alone" {
	awk 'BEGIN { print "id,x"; for (i = 0; i < 40; i++) print i ",.6 .8" }' > q.csv
	hare-attend -m "$m2" -p "$p2" --choose 1 --beta .5 --seed 1 q.csv > a
	hare-attend -m "$m2" -p "$p2" --choose 1 --beta .5 --seed 1 q.csv > b
	hare-attend -m "$m2" -p "$p2" --choose 1 --beta .5 --seed 2 q.csv > c
	cmp a b
	run -1 cmp -s a c
	printf 'x\n.6 .8\n.6 .8\n' | hare-attend -m "$m2" -p "$p2" --choose 1 --beta .5 | column item | uniq | wc -l | grep -qx 1
}

@test "several draws are different items, each with its propensity given those before" {
	awk 'BEGIN { print "id,x"; for (i = 0; i < 50; i++) print i ",.6 .8" }' > q.csv
	hare-attend -m "$m2" -p "$p2" -k 5 --choose 3 q.csv > out.csv
	/usr/bin/python3 - <<'PY'
import csv
for r in csv.DictReader(open('out.csv')):
    weight = dict(zip(r['items'].split(), map(float, r['weights'].split())))
    left, item = 1, r['item'].split()
    assert len(set(item)) == 3
    for i, p in zip(item, map(float, r['propensity'].split())):
        assert abs(p - weight[i] / left) < 1e-5, r
        left -= weight[i]
PY
	[ "$(hare-attend -m "$m2" -p "$p2" --choose 9 q.csv | column item | head -n 1 | wc -w)" -eq 5 ]
}

@test "clusters seen less get a bonus, once a cluster has been seen" {
	hare-attend -m "$m" -p "$p" -s "$s" -k 150 --explain "$q" | column bonus | sort -u > before
	[ "$(cat before)" = 0 ]
	cp "$s" seen
	hare-attend -m "$m" -p "$p" -s "$s" --choose 1 "$q" > shown.csv
	/usr/bin/python3 - > log.csv <<'PY'
import csv, sys
csv.field_size_limit(1 << 30)
w = csv.writer(sys.stdout)
w.writerow(['user', 'x', 'item', 'reward'])
for r in csv.DictReader(open('shown.csv')):
    if r['user']: w.writerow([r['user'], r['x'], r['item'], 1])
PY
	hare-update -m "$m" -s seen -p "$p" log.csv
	hare-attend -m "$m" -p "$p" -s seen -k 150 --explain "$q" > why.csv
	[ "$(column bonus < why.csv | sort -u | wc -l)" -gt 1 ]
	# all of it is alpha times a number between 0 and 1
	[ "$(hare-attend -m "$m" -p "$p" -s seen -k 150 --alpha 3 --explain "$q" | column bonus |
		awk '$1 < 0 || $1 > 3.000001' | wc -l)" -eq 0 ]
	[ "$(hare-attend -m "$m" -p "$p" -s seen -k 150 --alpha 0 --explain "$q" | column bonus | sort -u)" = 0 ]
}

@test "z in base64, in TSV, in JSON and in NPY is the z of the text" {
	hare-attend -m "$m" -p "$p" --npy z.npy "$q" > out.csv
	hare-attend -m "$m" -p "$p" --vec b64 "$q" > b64.csv
	hare-attend -m "$m" -p "$p" -J "$q" > out.json
	hare-attend -m "$m" -p "$p" --no-z "$q" > noz.csv
	[ "$(head -n 1 noz.csv)" = 'user,query,x,items,weights,entropy,uncertainty' ]
	printf 'x\tnote\n1 0\ta\\tb\n' | hare-attend -T -m "$m2" -p "$p2" | tail -n 1 | grep -q "^1 0	a\\\\tb	"
	/usr/bin/python3 - <<'PY'
import base64, csv, json
import numpy as np
csv.field_size_limit(1 << 30)
text = np.array([[float(v) for v in r['z'].split()] for r in csv.DictReader(open('out.csv'))], dtype='<f4')
b64 = np.array([np.frombuffer(base64.b64decode(r['z'][4:]), '<f4') for r in csv.DictReader(open('b64.csv'))])
rows = [json.loads(l) for l in open('out.json')]
js = np.array([r['z'] for r in rows], dtype='<f4')
assert (text == b64).all() and (text == js).all() and (text == np.load('z.npy')).all()
assert isinstance(rows[0]['items'], list) and isinstance(rows[0]['weights'][0], float)
assert isinstance(rows[0]['entropy'], float) and rows[0]['user'] == 'ann'
PY
}

@test "x in base64 is read like x in decimals" {
	hare-embed -q -m "$m" -c query --vec b64 "$f/asked.csv" | hare-attend -m "$m" -p "$p" --no-x > a
	hare-attend -m "$m" -p "$p" --no-x "$q" | cmp - a
}

@test "the environment names MODEL, POOL and STATE; the command line wins" {
	hare-attend -m "$m" -p "$p" -s "$s" "$q" > a
	HARE_MODEL=$m HARE_POOL=$p HARE_STATE=$s hare-attend "$q" | cmp - a
	HARE_MODEL=$m2 HARE_POOL=$p2 HARE_STATE=none hare-attend -m "$m" -p "$p" -s "$s" "$q" | cmp - a
}

@test "a wrong command line is 64, with one line and the usage" {
	run -64 --separate-stderr env -u HARE_MODEL hare-attend -p "$p" "$q"
	[[ "${stderr_lines[0]}" == 'hare-attend: expected a MODEL'* ]]
	run -64 hare-attend -m "$m" "$q"
	run -64 hare-attend -m "$m" -p "$p" -k 0 "$q"
	run -64 hare-attend -m "$m" -p "$p" -k ten "$q"
	run -64 hare-attend -m "$m" -p "$p" --kappa -1 "$q"
	run -64 hare-attend -m "$m" -p "$p" --beta 0 "$q"
	run -64 hare-attend -m "$m" -p "$p" --query-var -.1 "$q"
	run -64 hare-attend -m "$m" -p "$p" --query-var nan "$q"
	for o in alpha beta gain kappa; do run -64 hare-attend -m "$m" -p "$p" --$o 1e308 "$q"; done
	run -64 hare-attend -m "$m" -p "$p" --text title "$q"
	run -64 hare-attend -m "$m" -p "$p" --explain --choose 1 "$q"
	run -64 hare-attend -m "$m" -p "$p" --frobnicate "$q"
	run -64 hare-attend -m "$m" -p "$p" --col frob=x "$q"
}

# bad WHAT-IS-SAID < records: exit 65, one line on stderr with this in it
bad() {
	cat > bad.csv
	run -65 --separate-stderr hare-attend -m "$m2" -p "$p2" bad.csv
	[ "${#stderr_lines[@]}" -eq 1 ]
	[[ "$stderr" == "hare-attend: bad.csv"*"$1"* ]] || { echo "$stderr"; false; }
}

@test "bad records are named by file, line and column" {
	printf 'id,y\na,1 0\n' | bad 'x'
	printf 'id,x\na,1 0\nb,0 high\n' | bad ':3: column x:'
	run -65 --separate-stderr hare-attend -m "$m2" -p "$p2" bad.csv
	[ "${#lines[@]}" -eq 2 ]                 # the record before it came out
	printf 'id,x\na,1 0\nb,0 nan\n' | bad ':3: column x:'
	printf 'id,x\na,1 0 0\n' | bad ':2: column x: expected 2 numbers, got 3'
	printf 'id,x\na,\n' | bad ':2: column x: expected 2 numbers'
	printf 'id,x\na,1e30 0\n' | bad ':2: column x: expected a vector of about unit length'
	printf 'id,x\na,1 0\nb\n' | bad ':3:'
	printf 'id,x\na,1 0\n"b,0 1\n' | bad ':3:'
	printf '' | bad ''
	run -65 --separate-stderr hare-attend -m "$m2" -p "$p2" --col user=who <(printf 'id,x\na,1 0\n')
	[[ "$stderr" == *who* ]]
	run -65 --separate-stderr hare-attend -m "$m2" -p "$p2" <(printf 'items,x\na,1 0\n')
	[[ "$stderr" == *items* ]]
	run -0 hare-attend -m "$m2" -p "$p2" --overwrite <(printf 'items,x\na,1 0\n')
	[ "${lines[0]}" = 'x,z,items,weights,entropy,uncertainty' ]
}

@test "with --skip-bad the good records come out, and the bad ones are told" {
	printf 'id,x\na,1 0\nb,0 high\nc,0 1\nd,1\n' > q.csv
	run -0 --separate-stderr hare-attend --skip-bad -m "$m2" -p "$p2" --npy z.npy q.csv
	[ "${#lines[@]}" -eq 3 ]
	[[ "${lines[2]}" == 'c,0 1,'* ]]
	[[ "$stderr" == *'q.csv:3: column x'* ]]
	[[ "$stderr" == *'2 bad rows skipped'* ]]
	/usr/bin/python3 -c 'import numpy; assert numpy.load("z.npy").shape == (2, 2)'
}

@test "a header alone, a byte order mark, CRLF, NUL, a missing last newline and a cell of a megabyte are fine" {
	run -0 hare-attend -m "$m2" -p "$p2" <(printf 'id,x\n')
	[ "$output" = 'id,x,z,items,weights,entropy,uncertainty' ]
	run -0 hare-attend -m "$m2" -p "$p2" <(printf '\357\273\277x,id\r\n1 0,a\r\n0 1,b')
	[ "${#lines[@]}" -eq 3 ]
	printf 'id,x\na\0b,1 0\n' | hare-attend -m "$m2" -p "$p2" | tail -n 1 | tr '\0' '@' | grep -q '^a@b,1 0,'
	{ printf 'id,x\n'; head -c 1000000 /dev/zero | tr '\0' y; printf ',1 0\n'; } | hare-attend -m "$m2" -p "$p2" |
		tail -n 1 | head -c 1000004 | tail -c 6 | grep -qx 'yy,1 0'
}

@test "files that are not there, are folders, or are something else" {
	run -66 --separate-stderr hare-attend -m "$m" -p "$p" nothing.csv
	[ "${#stderr_lines[@]}" -eq 1 ]
	run -66 hare-attend -m "$m" -p "$p" "$BATS_TEST_TMPDIR"
	run -66 hare-attend -m nothing -p "$p" "$q"
	run -66 hare-attend -m "$m" -p nothing "$q"
	run -66 hare-attend -m "$m" -p "$BATS_TEST_TMPDIR" "$q"
	run -65 hare-attend -m "$p" -p "$p" "$q"
	run -65 hare-attend -m "$m" -p "$m" "$q"
	run -65 --separate-stderr hare-attend -m "$m" -p "$p" -s "$m" "$q"
	[ "${#stderr_lines[@]}" -eq 1 ]
	[ -z "$output" ]
	run -66 hare-attend -m "$m" -p "$p" -s "$BATS_TEST_TMPDIR" "$q"
}

@test "MODEL, POOL and STATE of different spaces are refused, with both named" {
	run -65 --separate-stderr hare-attend -m "$m2" -p "$p" "$q"
	[[ "$stderr" == *"$p"*"$m2"* || "$stderr" == *"$m2"*"$p"* ]]
	run -65 --separate-stderr hare-attend -m "$m2" -p "$p2" -s "$s" <(printf 'x\n1 0\n')
	[[ "$stderr" == *"$s"* && "$stderr" == *"$m2"* ]]
	run -65 --separate-stderr hare-attend -m "$m" -p "$p" -p "$p2" "$q"
	[ "${#stderr_lines[@]}" -eq 1 ]
}

@test "a pool without rows is refused" {
	printf 'id,x\n' | hare-pool build -m "$m2" -o empty
	run -65 --separate-stderr hare-attend -m "$m2" -p empty <(printf 'x\n1 0\n')
	[ "$stderr" = 'hare-attend: empty: has no rows' ]
}

# right_or_65 what: with the file bad in its place, the bytes of right, or 65 and one line
right_or_65() {
	local m=$f/m p=$f/p s=$f/s status=0
	eval "$1=bad"
	hare-attend -m "$m" -p "$p" -s "$s" "$q" > out 2> err || status=$?
	if [ "$status" -eq 0 ]; then cmp out right; else
		[ "$status" -eq 65 ] && [ "$(wc -l < err)" -eq 1 ] || { echo "$2: status $status: $(cat err)"; return 1; }
	fi
}

@test "cut or altered MODEL, POOL and STATE: the right answer or 65, nothing else" {
	hare-attend -m "$m" -p "$p" -s "$s" "$q" > right
	for what in m p s; do
		size=$(stat -c %s "$f/$what")
		for at in 0 1 7 9 60 200 $((size / 5)) $((size / 3)) $((size / 2)) $((size - 100)) $((size - 1)); do
			cp "$f/$what" bad
			byte=$(od -An -tu1 -j "$at" -N 1 bad | tr -d ' ')
			printf "\\$(printf %o $((byte ^ 1)))" | dd of=bad bs=1 seek="$at" conv=notrunc status=none
			right_or_65 "$what" "$what, byte $at altered"
		done
		for n in 0 5 100 $((size / 2)) $((size - 1)); do
			head -c "$n" "$f/$what" > bad
			right_or_65 "$what" "$what cut to $n bytes"
		done
	done
	# what is read whole is refused whole
	for what in m p; do
		m=$f/m p=$f/p
		head -c $(($(stat -c %s "$f/$what") - 1)) "$f/$what" > bad
		eval "$what=bad"
		run -65 hare-attend -m "$m" -p "$p" "$q"
	done
}

@test "a full disk and a closed pipe" {
	run -74 --separate-stderr sh -c "hare-attend -m '$m' -p '$p' '$q' > /dev/full"
	[ "${#stderr_lines[@]}" -eq 1 ]
	run --separate-stderr bash -c "yes '1 0' | { echo x; head -n 100000; } | hare-attend -m '$m2' -p '$p2' | head -n 1"
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
	run --separate-stderr hare-attend -m "$m2" -p "$p2" --npy /dev/full/z.npy <(printf 'x\n1 0\n')
	[ "$status" -ne 0 ]
}

@test "a file that may not be read is 77" {
	[ "$(id -u)" -ne 0 ] || skip "root may read everything"
	cp "$q" secret.csv
	chmod 0 secret.csv
	run -77 hare-attend -m "$m" -p "$p" secret.csv
}

@test "a BLAS that computes wrong results is noticed at once" {
	case $BUILD in *asan*) skip "a preloaded library does not go with the sanitizer" ;; esac
	command -v cc > /dev/null || skip "needs a compiler"
	cat > wrong.c <<'C'
void cblas_sgemv(int o, int t, int m, int n, float al, const float *a, int l, const float *x, int ix, float be, float *y, int iy)
{ (void)o; (void)al; (void)a; (void)l; (void)x; (void)ix; (void)be; (void)iy; for (int i = 0; i < (t == 111 ? m : n); i++) y[i] = 1; }
C
	cc -shared -fPIC -o wrong.so wrong.c
	run -70 --separate-stderr env LD_PRELOAD="$PWD/wrong.so" hare-attend -m "$m" -p "$p" "$q"
	[ "${#stderr_lines[@]}" -eq 1 ]
	[[ "$stderr" == *OPENBLAS_CORETYPE* ]]
	[ -z "$output" ]
}

# big: 9,000 rows of two dimensions as a pool of m2, with a sketch; users of it in the state s2
make_big() {
	awk 'BEGIN { print "id,x"; for (i = 0; i < 9000; i++) { a = i * 2.399963; printf "r%d,%.7f %.7f\n", i, cos(a), sin(a) } }' |
		hare-pool build --sketch -m "$m2" -o big
	awk 'BEGIN { print "user,item,reward"; for (i = 0; i < 30; i++) print "ann,r" i * 31 "," (i % 3 == 0) "\nbob,r" i * 77 + 5 "," i % 2 }' |
		hare-update -m "$m2" -s s2 -p big
	printf 'id,user,x\n1,ann,.6 .8\n2,bob,1 0\n3,,0 1\n4,new,-.6 .8\n5,ann,0 0\n5,ann,0 0\n' > ask.csv
}

# wide: 9,000 rows in 90 groups as a pool of m, with a sketch; and queries near six of them
make_wide() {
	/usr/bin/python3 - "$(hare-pool info "$p" | sed -n 's/^dim,//p')" <<'PY'
import sys
import numpy as np
r = np.random.default_rng(1)
d = int(sys.argv[1])
x = r.standard_normal((90, d))[np.arange(9000) % 90] + .5 * r.standard_normal((9000, d))
x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype('f4')
np.save('wide.npy', x)
open('wide.csv', 'w').write('id\n' + ''.join('r%d\n' % i for i in range(9000)))
open('ask.csv', 'w').write('id,x\n' + ''.join('%d,%s\n' % (i, ' '.join('%.8g' % v for v in x[i * 999])) for i in range(6)))
PY
	hare-pool build --sketch -m "$m" -o big --normalise --vectors wide.npy wide.csv
}

@test "1, 2 and 7 shards, each seen by a process of its own under GNU parallel: the bytes of one process" {
	command -v parallel > /dev/null || skip "needs GNU parallel"
	make_big
	for options in '' '--kappa 1 -k 80' '--alpha 9 --beta 30'; do
		hare-attend -m "$m2" -p big -s s2 $options ask.csv > whole.csv
		for n in 1 2 7; do
			rm -f part.*
			hare-pool shard -n $n -o part big
			ls part.* | parallel --will-cite -k hare-attend -m "$m2" -p {} -s s2 $options --partial ask.csv |
				hare-attend -m "$m2" -s s2 --merge > best.csv
			[ "$(head -n 1 best.csv)" = id,user,x,partial ]
			ls part.* | parallel --will-cite -k hare-attend -m "$m2" -p {} -s s2 $options --partial best.csv |
				hare-attend -m "$m2" -s s2 --merge > merged.csv
			cmp whole.csv merged.csv
		done
	done
	# shards in any order, as files, in TSV, without x and z
	ls -r part.* | while read -r p; do hare-attend -T -m "$m2" -p $p -s s2 --partial <(tr , '\t' < ask.csv) > $p.out; done
	hare-attend -T -m "$m2" -s s2 --merge part.*.out > best.tsv
	for p in part.?; do hare-attend -T -m "$m2" -p $p -s s2 --partial best.tsv > $p.out; done
	hare-attend -T -m "$m2" -s s2 --merge --no-x --no-z part.*.out > merged.tsv
	hare-attend -T -m "$m2" -s s2 -p big --no-x --no-z <(tr , '\t' < ask.csv) | cmp - merged.tsv
}

@test "what does not belong together is not merged" {
	make_big
	hare-pool shard -n 2 -o part big
	for i in 0 1; do hare-attend -m "$m2" -p part.$i -s s2 --partial ask.csv > $i.csv; done
	run -65 --separate-stderr hare-attend -m "$m2" -s s2 --merge 0.csv
	[[ "$stderr" == *"shards are missing: 4096 rows of 9000 have come"* ]]
	# another state, other constants, another step, no cell of ours
	run -65 --separate-stderr hare-attend -m "$m2" --merge 0.csv 1.csv
	[[ "$stderr" == *"column partial: expected the STATE of the other steps"* ]]
	hare-attend -m "$m2" -p part.1 -s s2 --kappa 1 --partial ask.csv > other.csv
	run -65 --separate-stderr hare-attend -m "$m2" -s s2 --merge 0.csv other.csv
	[[ "$stderr" == *"other.csv:2: column partial: expected the query, STATE, constants"* ]]
	hare-attend -m "$m2" -s s2 --merge 0.csv 1.csv > best.csv
	run -65 --separate-stderr hare-attend -m "$m2" -s s2 --merge best.csv
	run -65 --separate-stderr hare-attend -m "$m2" -p part.0 -s s2 --partial 0.csv
	[[ "$stderr" == *"column partial: expected what --merge wrote"* ]]
	hare-attend -m "$m2" -p part.0 -s s2 --partial best.csv > 2.csv
	run -65 --separate-stderr hare-attend -m "$m2" -s s2 --merge 1.csv 2.csv
	[[ "$stderr" == *"expected step 1 as in the records before, got step 3"* ]]
	for cell in '' x 'AAAA' "$(head -c 300 /dev/zero | base64 -w 0)" "$(tail -n 1 0.csv | cut -d, -f4 | head -c 400)"; do
		printf 'id,x,partial\n1,1 0,%s\n' "$cell" > bad.csv
		run -65 --separate-stderr hare-attend -m "$m2" --merge bad.csv
		[ "${#stderr_lines[@]}" -eq 1 ]
	done
	run -64 hare-attend -m "$m2" -p part.0 --partial --merge ask.csv
	run -64 hare-attend -m "$m2" -p part.0 -p part.1 --partial ask.csv
	run -64 hare-attend -m "$m2" -p part.0 --partial --choose 1 ask.csv
	run -64 hare-attend -m "$m2" --merge --explain 0.csv
}

@test "--epsilon: a certificate within it, the items of the exact pass, and -v tells who read all" {
	make_wide
	hare-attend -m "$m" -p big --beta 60 --kappa 0 ask.csv > exact.csv
	run -0 --separate-stderr hare-attend -v -m "$m" -p big --beta 60 --kappa 0 --epsilon .001 ask.csv
	printf '%s\n' "${lines[@]}" > some.csv
	[ "${lines[0]}" = 'id,x,z,items,weights,entropy,uncertainty,certificate,read' ]
	[[ "$stderr" == *'0 of them read the pool whole: '* ]]
	column certificate < some.csv | awk '$1 > .001 || $1 <= 0 { exit 1 }'
	column read < some.csv | awk '$1 >= .1 { exit 1 }'
	cmp <(column items < exact.csv) <(column items < some.csv)
	cmp <(column uncertainty < exact.csv) <(column uncertainty < some.csv)
	/usr/bin/python3 - <<'PY'
import csv
for a, b in zip(csv.DictReader(open('exact.csv')), csv.DictReader(open('some.csv'))):
    for k in 'z', 'weights':
        off = max(abs(float(s) - float(t)) for s, t in zip(a[k].split(), b[k].split()))
        assert off <= 2 * float(b['certificate']) + 1e-6, (k, off, b)
PY
	# any number of threads; draws are among what was read
	hare-attend --threads 3 -m "$m" -p big --beta 60 --kappa 0 --epsilon .001 ask.csv | cmp - some.csv
	hare-attend -m "$m" -p big --beta 60 --kappa 0 --epsilon .001 --choose 3 ask.csv | column propensity | awk 'NF != 3 { exit 1 }'
	# 0 is exact; broad attention, a pool without sketches, and a small one are read whole
	hare-attend -m "$m" -p big --epsilon 0 ask.csv > zero.csv
	column read < zero.csv | sort -u | cmp - <(echo 1)
	cmp <(column z < zero.csv) <(hare-attend -m "$m" -p big ask.csv | column z)
	hare-attend -m "$m" -p big --beta 2 --epsilon .001 ask.csv | column read | sort -u | cmp - <(echo 1)
	hare-pool merge --no-sketch -o bare big
	cmp <(column z < zero.csv) <(hare-attend -m "$m" -p bare ask.csv | column z)
	run -0 --separate-stderr hare-attend -v -m "$m" -p bare --epsilon .001 ask.csv
	[[ "$stderr" == *'6 of them read the pool whole: it has no sketch, see hare-pool(1)'* ]]
	hare-attend -m "$m" -p "$p" --epsilon .001 "$q" | column read | sort -u | cmp - <(echo 1)
	for e in -1 1 x; do run -64 hare-attend -m "$m" -p big --epsilon $e ask.csv; done
}

@test "vectors kept in fewer bytes: answers near those of all bytes, and the same for any batch and threads" {
	make_big
	hare-attend -m "$m2" -p big -s s2 --beta 30 ask.csv > f32.csv
	for store in f16 bf16 int8; do
		hare-pool merge --store $store -o p.$store big
		hare-attend -m "$m2" -p p.$store -s s2 --beta 30 --threads 1 ask.csv > $store.csv
		hare-attend -m "$m2" -p p.$store -s s2 --beta 30 --threads 3 ask.csv | cmp - $store.csv
		{ head -n 1 ask.csv; sed -n 3p ask.csv; } | hare-attend -m "$m2" -p p.$store -s s2 --beta 30 | tail -n 1 | cmp - <(sed -n 3p $store.csv)
		/usr/bin/python3 - $store <<'PY'
import csv, sys
for a, b in zip(csv.DictReader(open('f32.csv')), csv.DictReader(open(sys.argv[1] + '.csv'))):
    assert max(abs(float(s) - float(t)) for s, t in zip(a['z'].split(), b['z'].split())) < .01
    assert abs(float(a['entropy']) - float(b['entropy'])) < .02
PY
	done
}

@test "--trust leaves out the verification of vectors, and nothing else" {
	make_wide
	hare-attend -m "$m" -p big ask.csv > right.csv
	hare-attend --trust -m "$m" -p big ask.csv | cmp - right.csv
	cp big bad
	printf '\101' | dd of=bad bs=1 seek=700000 conv=notrunc status=none
	run -65 hare-attend -m "$m" -p bad ask.csv
	run -0 hare-attend --trust -m "$m" -p bad ask.csv
	head -c 1000 big > bad
	run -65 hare-attend --trust -m "$m" -p bad ask.csv
}

@test "--help shows the options and examples, --version the version" {
	run -0 hare-attend --help
	[[ "$output" == *'--explain'* && "$output" == *'hare-embed -m skills.model'* ]]
	run -0 hare-attend --version
}

# rows in groups, in the space of the model m, with an index
make_cells() {
	dim=$(hare-pool info "$p" | sed -n 's/^dim,//p')
	/usr/bin/python3 - "$dim" <<'PY'
import random, struct, sys
dim = int(sys.argv[1])
r = random.Random(4)
middle = [[r.gauss(0, 1) for _ in range(dim)] for _ in range(150)]
def near(x, length):
    y = [a / sum(b * b for b in x) ** .5 + r.gauss(0, 1) * length / dim ** .5 for a in x]
    n = sum(b * b for b in y) ** .5
    return " ".join("%.6f" % (b / n) for b in y)
with open("cells.csv", "w") as f:
    f.write("id,x\n")
    for i in range(20000):
        f.write("c%d,%s\n" % (i, near(middle[r.randrange(150)], .1)))
with open("ask.csv", "w") as f:
    f.write("id,x\n")
    for i in range(12):
        f.write("q%d,%s\n" % (i, near(middle[i], .2)))
PY
	hare-pool build -m "$m" -o cells --normalise --index cells.csv
}

@test "--delta: by the index, within epsilon, the items of the exact pass; -v and a column tell the confidence" {
	make_cells
	hare-pool check cells
	[ "$(hare-pool info cells | sed -n 's/^indexed,//p')" = 20000 ]
	hare-attend -m "$m" -p cells --beta 60 --kappa 0 --no-x ask.csv > exact.csv
	run -0 --separate-stderr hare-attend -v -m "$m" -p cells --beta 60 --kappa 0 --epsilon .01 --delta .05 --no-x ask.csv
	printf '%s\n' "${lines[@]}" > some.csv
	[ "${lines[0]}" = 'id,z,items,weights,entropy,uncertainty,certificate,read,confidence' ]
	# most of them; a query that the index does not help is read whole
	n=$(column confidence < some.csv | grep -cx 0.95)
	[ "$n" -ge 6 ]
	[[ "$stderr" == *"$n of them by the index, within 0.01 with confidence 0.95"* ]]
	paste <(column confidence < some.csv) <(column read < some.csv) | awk '$1 == .95 && $2 > .2 || $1 != .95 && $1 != 1 || $1 == 1 && $2 != 1 { exit 1 }'
	column certificate < some.csv | awk '$1 > .01 { exit 1 }'
	cmp <(column items < exact.csv) <(column items < some.csv)
	/usr/bin/python3 - <<'PY'
import csv
for a, b in zip(csv.DictReader(open('exact.csv')), csv.DictReader(open('some.csv'))):
    for k in 'z', 'weights':
        off = max(abs(float(s) - float(t)) for s, t in zip(a[k].split(), b[k].split()))
        assert off <= .02, (k, off)
PY
	# any number of threads, any order; another seed may sample others
	hare-attend --threads 3 -m "$m" -p cells --beta 60 --kappa 0 --epsilon .01 --delta .05 --no-x ask.csv | cmp - some.csv
	{ head -n 1 ask.csv; tail -n 3 ask.csv; } | hare-attend -m "$m" -p cells --beta 60 --kappa 0 --epsilon .01 --delta .05 --no-x |
		tail -n 3 | cmp - <(tail -n 3 some.csv)
	hare-attend --seed 5 -m "$m" -p cells --beta 60 --kappa 0 --epsilon .01 --delta .05 --no-x ask.csv | column items | cmp - <(column items < exact.csv)
	# draws come from what was read
	hare-attend -m "$m" -p cells --beta 60 --kappa 0 --epsilon .01 --delta .05 --choose 2 ask.csv | column propensity | awk 'NF != 2 { exit 1 }'
}

@test "--delta: without an index, in a small pool, or where attention is broad, what is there without it answers" {
	make_cells
	hare-pool merge --no-index -o bare cells
	hare-pool build -m "$m" -o again --normalise cells.csv
	cmp bare again
	# an index changes nothing else
	cmp <(hare-attend -m "$m" -p bare ask.csv) <(hare-attend -m "$m" -p cells ask.csv)
	run -0 --separate-stderr hare-attend -v -m "$m" -p bare --epsilon .01 --delta .05 ask.csv
	[[ "$stderr" == *'0 of them by the index, within 0.01 with confidence 0.95: the pool has none, see hare-pool(1)'* ]]
	printf '%s\n' "${lines[@]}" | column confidence | sort -u | cmp - <(echo 1)
	run -0 --separate-stderr hare-attend -v -m "$m" -p cells --beta 2 --epsilon .01 --delta .05 ask.csv
	[[ "$stderr" == *'0 of them by the index, within 0.01 with confidence 0.95; the others are broad, or the pool is small'* ]]
	cmp <(hare-attend -m "$m" -p cells --beta 2 ask.csv | column z) <(printf '%s\n' "${lines[@]}" | column z)
	# a pool too small for an index is built without one
	hare-pool merge --index -o small "$p"
	[ "$(hare-pool info small | sed -n 's/^indexed,//p')" = 0 ]
	hare-attend -m "$m" -p small --epsilon .01 --delta .05 "$q" | column confidence | sort -u | cmp - <(echo 1)
}

@test "--delta: what is wrong with it is said" {
	for d in 0 1 -1 x nan; do run -64 hare-attend -m "$m" -p "$p" --epsilon .01 --delta $d "$q"; done
	run -64 --separate-stderr hare-attend -m "$m" -p "$p" --delta .1 "$q"
	[[ "${stderr_lines[0]}" == 'hare-attend: --delta: goes with --epsilon, more than 0' ]]
	run -64 hare-attend -m "$m" -p "$p" --epsilon 0 --delta .1 "$q"
	run -64 hare-attend -m "$m" -p "$p" --epsilon .1 --delta .1 --partial "$q"
}
