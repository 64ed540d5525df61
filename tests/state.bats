bats_require_minimum_version 1.5.0

setup_file() {
	cd "$BATS_FILE_TMPDIR"
	# integer features, so that sums are exact; 30 users of many events, 2 of a few
	awk 'BEGIN { srand(11); print "user,reward,x"; for (i = 0; i < 3000; i++) printf "user%02d,%d,%d %d %d %d\n", rand() ^ 3 * 30, rand() * 2, rand() * 7 - 3, rand() * 7 - 3, rand() * 7 - 3, rand() * 7 - 3; for (i = 0; i < 4; i++) printf "wee%d,1,1 0 %d 0\n", i / 2, i }' > all.csv
	awk 'NR == 1 || NR % 2' all.csv > a.csv
	awk 'NR == 1 || NR % 2 == 0' all.csv > b.csv
	for s in all a b; do hare-update -s $s.state --feature x --dim 4 < $s.csv; done
}
setup() {
	cd "$BATS_TEST_TMPDIR"
	cp "$BATS_FILE_TMPDIR"/*.state "$BATS_FILE_TMPDIR"/*.csv .
}
learn() { hare-update --feature x --dim 4 "$@"; }
same_beliefs() { hare-state dump -s "$1" > left.csv && hare-state dump -s "$2" > right.csv && cmp left.csv right.csv; }

@test "state: info tells users, observations and settings" {
	run -0 --separate-stderr hare-state info -s all.state
	[ "${lines[0]}" = key,value ]
	[ "${lines[1]}" = users,32 ]
	[ "${lines[2]}" = observations,3004 ]
	[[ "$output" == *$'\ndim,4\n'* && "$output" == *$'\nlambda,100\n'* ]]
	[ -z "$stderr" ]
	HARE_STATE=all.state run -0 hare-state info
}
@test "state: dump and load give back every bit, in base64 and in decimal" {
	hare-state dump -s all.state > d.csv
	hare-state load -s one.state < d.csv
	hare-state dump --text -s all.state | hare-state load -s two.state
	hare-state dump -s one.state | cmp - d.csv
	hare-state dump -s two.state | cmp - d.csv
	[ "$(stat -c %a one.state)" = 600 ]
	grep -q ,observations, d.csv
	grep -q ,sums, d.csv
	# and what is learnt afterwards too
	learn -s one.state < a.csv
	learn -s all.state < a.csv
	same_beliefs one.state all.state
}
@test "state: the same beliefs give the same bytes, however they came about" {
	head -n 700 all.csv | learn -s parts
	{ head -n 1 all.csv; tail -n +701 all.csv; } | learn -s parts --buffer 1
	same_beliefs all.state parts
	[ "$(hare-state info -s parts | grep uuid)" != "$(hare-state info -s all.state | grep uuid)" ]
}
@test "state: a dump through TSV, and as JSON Lines" {
	hare-state dump -T -s all.state | hare-state load -T -s t.state
	same_beliefs all.state t.state
	hare-state dump -J -s all.state | jq -r 'select(.kind == "user") | .key' | sort -c
}
@test "state: dump --all and load go on exactly once where the original was" {
	learn -s log.state a.csv
	printf 'e,user,reward,x\n1,ann,1,1 0 0 0\n' | learn -s log.state --event-id e
	hare-state dump --all -s log.state > d.csv
	hare-state load -s moved.state d.csv
	hare-state dump --all -s moved.state | cmp - d.csv
	learn -s moved.state a.csv
	printf 'e,user,reward,x\n1,ann,1,1 0 0 0\n' | learn -s moved.state --event-id e
	same_beliefs log.state moved.state
	run -65 --separate-stderr hare-state merge -o m.state log.state moved.state
}
@test "state: load refuses what is no dump, names the place, and makes nothing" {
	hare-state dump --text -s all.state > d.csv
	bad() { run -65 --separate-stderr hare-state load -s new.state bad.csv; [[ "$stderr" == "hare-state: bad.csv:$1"* ]] || { echo "$stderr"; return 1; }; [ ! -e new.state ]; [ -z "$(ls -A | grep tmp)" ]; }
	sed '41s/,2,/,3,/' d.csv > bad.csv; bad 41
	sed '12s/,[0-9]*,/,-1,/' d.csv > bad.csv; bad 12
	sed '11s/observations/something/; 11s/sums/something/' d.csv > bad.csv; bad 11
	sed '13s/ [0-9-]* / high /' d.csv > bad.csv; bad 13
	sed '14s/^user/bird/' d.csv > bad.csv; bad '14: column kind'
	sed '/setting,dim/d' d.csv > bad.csv; bad ''
	sed '15p' d.csv > bad.csv; bad '16: column key: expected each user once'
	sed '16s/^\(.*\) .*$/\1/' d.csv > bad.csv; bad 16
	sed '2s/base_rate/colour/' d.csv > bad.csv; bad '2: column key'
	head -c 3000 d.csv > bad.csv; bad ''
	{ cat d.csv; echo setting,dim,,,,text,5; } > bad.csv; bad "$(($(wc -l < d.csv) + 1)): column kind: expected the settings first"
	{ cat d.csv; echo cluster,07,1,,,moments,1 0 1 0 0 1 0 0 0 1; } > bad.csv; bad "$(($(wc -l < d.csv) + 1)): column key: expected the number of a cluster"
	learn -s log.state a.csv
	hare-state dump --all --text -s log.state > d.csv
	n=$(grep -n ^source, d.csv | cut -d: -f1)
	sed "${n}s/ / -/" d.csv > bad.csv; bad "$n: column value: expected a position"
	sed "${n}s/\$/ 1/" d.csv > bad.csv; bad "$n: column value: expected a position"
	n=$(grep -n ^identity, d.csv | cut -d: -f1)
	sed "${n}s/^identity,./identity,G/" d.csv > bad.csv; bad "$n: column key: expected 32 hexadecimal digits"
	cp d.csv bad.csv; cp a.state new.state
	run -65 --separate-stderr hare-state load -s new.state bad.csv
	[[ "$stderr" == *"new.state: is there already" ]]
	cmp new.state a.state
}
@test "state: dump of one user, and of nobody" {
	hare-state dump -s all.state user07 > d.csv
	[ "$(wc -l < d.csv)" -eq 2 ]
	grep -q ^user,user07, d.csv
	run -65 --separate-stderr hare-state dump -s all.state nobody
	[[ "$stderr" == "hare-state: all.state: nothing is known of user nobody" ]]
}
@test "state: dump --mean tells what is believed, and uncertainty falls with knowledge" {
	hare-state dump --mean -s all.state > m.csv
	[ "$(head -n 1 m.csv)" = user,n,first,last,uncertainty,mean ]
	[ "$(wc -l < m.csv)" -eq 33 ]
	tail -n +2 m.csv | sort -t, -k2,2n | awk -F, 'NR == 1 { few = $5 } { many = $5 } $5 <= 0 || $5 >= 1 { bad = 1 } END { exit bad || many >= few }'
}
@test "state: merge is commutative bit for bit, and exact where features are integers" {
	hare-state merge -o ab.state a.state b.state
	hare-state merge -o ba.state b.state a.state
	same_beliefs ab.state ba.state
	hare-state check -s ab.state
	# the sums are those of one run over all; the order of a young user's observations, and its clock, are the merge's own
	hare-state dump --mean -s ab.state | cut -d, -f1,2 > left
	hare-state dump --mean -s all.state | cut -d, -f1,2 > right
	cmp left right
	hare-state dump --text -s ab.state | awk -F, '$6 == "sums" { print $2, $7 }' > left
	hare-state dump --text -s all.state | awk -F, '$6 == "sums" { print $2, $7 }' > right
	[ -s left ]
	cmp left right
}
@test "state: merge of many in any order gives the same bits, and is associative to rounding" {
	for i in 1 2 3; do awk -v i=$i 'NR == 1 || NR % 3 == i - 1' all.csv | sed 's/ \(-*[0-9]\)$/ \1.3/' > p$i.csv; learn -s p$i.state < p$i.csv; done
	hare-state merge -o x.state p1.state p2.state p3.state
	hare-state merge -o y.state p3.state p1.state p2.state
	same_beliefs x.state y.state
	hare-state merge -o l.state p1.state p2.state
	hare-state merge -o left.state l.state p3.state
	hare-state merge -o r.state p2.state p3.state
	hare-state merge -o right.state p1.state r.state
	hare-state dump --text -s left.state > l.csv
	hare-state dump --text -s right.state > r.csv
	/usr/bin/python3 - <<-'PY'
		import csv
		csv.field_size_limit(1 << 30)
		for a, b in zip(csv.reader(open("l.csv")), csv.reader(open("r.csv"))):
		    assert a[:6] == b[:6]
		    if a[5] in ("sums", "observations"):
		        u, v = [list(map(float, c[6].split())) for c in (a, b)]
		        assert len(u) == len(v) and all(abs(p - q) <= 1e-12 * max(1, abs(p)) for p, q in zip(u, v))
	PY
}
@test "state: merge with a half-life decays to the later time first" {
	printf 'user,reward,time,x\nann,1,0,1 0 0 0\n' | learn -s early.state --half-life 10 
	printf 'user,reward,time,x\nann,0,10,1 0 0 0\n' | learn -s late.state --half-life 10
	printf 'user,reward,time,x\nann,1,0,1 0 0 0\nann,0,10,1 0 0 0\n' | learn -s both.state --half-life 10
	hare-state merge -o m.state late.state early.state
	same_beliefs m.state both.state
}
@test "state: merge refuses the same part twice, copies, and parts of an earlier merge; both are named" {
	cp a.state copy.state
	hare-state merge -o ab.state a.state b.state
	hare-state merge -o abab.state b.state a.state
	refused() { run -65 --separate-stderr hare-state merge -o no.state "$@"; [[ "$stderr" == *"$1"*"$2"*"count twice"* ]] && [ ! -e no.state ]; }
	refused a.state a.state
	refused a.state copy.state
	refused ab.state a.state
	refused b.state ab.state
	refused ab.state abab.state
	learn -s s1.state a.csv
	learn -s s2.state a.csv
	refused s1.state s2.state
	path=$PWD/a.csv         # of which a message tells no more than so much
	[[ "$stderr" == *"learnt from ${path:0:30}"* ]]
	printf 'e,user,reward,x\n77,ann,1,1 0 0 0\n' > e.csv
	learn -s e1.state --event-id e < e.csv
	learn -s e2.state --event-id e < e.csv
	run -65 --separate-stderr hare-state merge -o no.state e1.state e2.state
	[[ "$stderr" == *"event 77"* ]]
	[ ! -e no.state ]
	[ -z "$(ls -A | grep tmp)" ]
}
@test "state: merge refuses parts that differ in a setting, both named; and an output that is there" {
	hare-update -s d3.state --feature x --dim 3 <<< $'user,reward,x\nann,1,0 0 1'
	run -65 --separate-stderr hare-state merge -o no.state a.state d3.state
	[[ "$stderr" == "hare-state: a.state has dimension 4, d3.state has 3" ]]
	learn -s p.state --base-rate .1 < a.csv
	run -65 --separate-stderr hare-state merge -o no.state a.state p.state
	[[ "$stderr" == "hare-state: a.state has base rate 0.01, p.state has 0.1" ]]
	run -65 --separate-stderr hare-state merge -o b.state a.state all.state
	[[ "$stderr" == "hare-state: b.state: is there already" ]]
	run -66 hare-state merge -o no.state a.state absent.state
	[ ! -e no.state ]
}
@test "state: an empty state is the zero of merging" {
	head -n 1 a.csv | learn -s zero.state
	hare-state merge -o m.state zero.state a.state
	same_beliefs m.state a.state
	hare-state merge -o m2.state a.state
	same_beliefs m2.state a.state
}
@test "state: forget leaves no trace of a user, in name, vector or event" {
	printf 'e,user,reward,x\nevent-of-wilhelmina,wilhelmina,1,0.123456 0.234567 0.345678 0.456789\nevent-of-bob,bob,1,1 0 0 0\n' | learn -s s --event-id e
	hex() { od -An -v -tx1 "$1" | tr -d ' \n'; }
	vector=$(/usr/bin/python3 -c 'import struct; print(struct.pack("<2f", .123456, .234567).hex())')
	grep -q wilhelmina s
	[[ "$(hex s)" == *"$vector"* ]]
	# learnt once more, so that an older version of the value was replaced
	printf 'user,reward,x\nwilhelmina,0,1 1 1 1\n' | learn -s s
	hare-state forget -s s wilhelmina
	run -1 grep -c wilhelmina s
	[[ "$(hex s)" != *"$vector"* ]]
	[ ! -e s-wal ]
	hare-state check -s s
	hare-state dump -s s bob
	run -65 hare-state dump -s s wilhelmina
	# the user may come back, events too
	printf 'e,user,reward,x\nevent-of-wilhelmina,wilhelmina,1,1 0 0 0\nevent-of-bob,bob,1,1 0 0 0\n' | learn -s s --event-id e
	[ "$(hare-state info -s s | grep ^observations)" = observations,2 ]
}
@test "state: forgetting somebody unknown is told, the others are forgotten" {
	run -65 --separate-stderr hare-state forget -s all.state user03 nobody user04
	[[ "$stderr" == "hare-state: all.state: nothing is known of user nobody" ]]
	[ "$(hare-state info -s all.state | grep ^users)" = users,30 ]
}
@test "state: a backup is a whole state, made while others write" {
	(for i in 1 2 3 4 5 6; do learn -s all.state < a.csv; done) &
	hare-state backup -s all.state copy.state
	hare-state check -s copy.state
	wait
	hare-state backup -s all.state last.state
	same_beliefs all.state last.state
	run -65 hare-state backup -s all.state last.state
	run -66 hare-state backup -s all.state no/such/folder
}
@test "state: check is silent when all is well" {
	run -0 --separate-stderr hare-state check -s all.state
	[ -z "$output$stderr" ]
}
@test "state: compact changes no belief" {
	hare-state dump -s all.state > before.csv
	hare-state forget -s all.state user03
	hare-state compact -s all.state
	diff <(grep -v ^user,user03, before.csv) <(hare-state dump -s all.state)
}
@test "state: files that are none: absent, empty, text, another database, a folder, newer" {
	printf '' > empty; echo hello > text; sqlite3 other 'CREATE TABLE t(a)'
	for verb in info dump check; do
		run -66 hare-state $verb -s absent
		run -66 hare-state $verb -s .
		run -65 hare-state $verb -s empty
		run -65 hare-state $verb -s text
		run -65 hare-state $verb -s other
	done
	[ ! -e absent ]
	sqlite3 all.state 'PRAGMA user_version=2' > /dev/null
	run -65 --separate-stderr hare-state dump -s all.state
	[[ "$stderr" == *"written by a newer version of hare"* ]]
	run -65 learn -s all.state a.csv
	run -65 learn -s other a.csv
}
@test "state: any SQLite program may read it" {
	[ "$(sqlite3 -readonly all.state "SELECT count(*), sum(n) FROM value WHERE kind='user'")" = "32|3004" ]
	[ "$(sqlite3 -readonly all.state 'PRAGMA integrity_check')" = ok ]
	[ "$(sqlite3 -readonly all.state 'PRAGMA journal_mode')" = wal ]
	hare-state check -s all.state
}
@test "state: changed by another program it is refused" {
	sqlite3 all.state "UPDATE value SET n = n + 1 WHERE CAST(key AS TEXT) = 'user03'"
	run -65 hare-state check -s all.state
	run -65 hare-state dump -s all.state
}
@test "state: a folder that may not be written can be read from, if no writer left its log" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to become somebody else"
	chmod 711 "$BATS_TEST_TMPDIR"
	mkdir shared; cp all.state shared/s; chmod 755 shared; chmod 644 shared/s
	for d in "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$(dirname "$BATS_TEST_TMPDIR")"; do chmod o+x "$d"; done
	nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"; }
	nobody test -r shared/s -a -x "$(command -v hare-state)" || skip "another user cannot reach these folders"
	nobody hare-state dump -s shared/s > left.csv
	hare-state dump -s all.state | cmp - left.csv
	[ -z "$(ls shared | grep -v '^s$')" ]
	nobody hare-state dump -s "/$PWD/shared/s" | cmp - left.csv
	run -77 nobody hare-update -s shared/s --feature x --dim 4 a.csv
	chmod 600 shared/s
	run -77 nobody hare-state dump -s shared/s
	# the log lies beside the file, not beside a link to it
	cp all.state shared/logged; chmod 644 shared/logged; : > shared/logged-wal
	mkdir links; ln -s ../shared/logged links/s
	nobody hare-state dump -s links/s | cmp - left.csv
	echo left > shared/logged-wal
	run -77 nobody hare-state dump -s links/s
}
@test "state: folders and files may be symbolic links" {
	mkdir real; ln -s real folder
	learn -s folder/new < all.csv
	same_beliefs folder/new all.state
	hare-state merge -o folder/sum a.state b.state
	hare-state backup -s all.state folder/copy
	hare-state dump -s all.state | hare-state load -s folder/loaded
	ln -s real/new link
	learn -s link a.csv
	[ "$(ls real | tr '\n' ' ')" = 'copy loaded new sum ' ]
	hare-state check -s link
}
@test "state: with a rollback journal instead of the log" {
	export HARE_STATE_JOURNAL=delete
	learn -s j < all.csv
	[ "$(sqlite3 -readonly j 'PRAGMA journal_mode')" = delete ]
	same_beliefs j all.state
	unset HARE_STATE_JOURNAL
	learn -s j < a.csv
	learn -s all.state < a.csv
	same_beliefs j all.state
}
@test "state: what the environment asks for is done or refused" {
	for wrong in HARE_STATE_JOURNAL=DELETE HARE_STATE_WAIT_S=soon HARE_STATE_WAIT_S=-1 HARE_STATE_PAGE=5000; do
		run -64 --separate-stderr env "$wrong" hare-update -s e --feature x --dim 4 a.csv
		[[ "$stderr" == "hare-update: ${wrong%=*}: expected "*", got ${wrong#*=}" ]]
		[ ! -e e ]
	done
	HARE_STATE_PAGE=4096 HARE_STATE_WAIT_S=.5 HARE_STATE_JOURNAL= learn -s e a.csv
	[ "$(sqlite3 -readonly e 'PRAGMA page_size')" = 4096 ]
}
@test "state: wrong command lines are 64" {
	run -64 hare-state
	run -64 hare-state sing
	run -64 hare-state dump
	run -64 hare-state dump --mean --all -s all.state
	run -64 hare-state merge a.state b.state
	run -64 hare-state merge -o x.state
	run -64 hare-state forget -s all.state
	run -64 hare-state backup -s all.state
	run -64 hare-state info -s all.state a.state
	run -64 hare-state check all.state a.state
}
@test "state: a state named behind info or check wins over the environment" {
	HARE_STATE=a.state run -0 hare-state info all.state
	[ "${lines[2]}" = observations,3004 ]
	HARE_STATE=all.state run -66 hare-state check absent
}
@test "state: a full stdout is an error: 74" {
	run -74 sh -c 'hare-state dump -s all.state > /dev/full'
	run -74 sh -c 'hare-state info -s all.state > /dev/full'
}
