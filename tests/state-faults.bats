bats_require_minimum_version 1.5.0
# Counts are modest; HARE_FAULT_TIMES multiplies them (make bench).

setup_file() {
	cd "$BATS_FILE_TMPDIR"
	awk 'BEGIN { srand(5); print "user,reward,x"; for (i = 0; i < 60000; i++) { printf "user%03d,%d,%d", rand() * 400, rand() * 2, rand() * 9 - 4; for (d = 1; d < 8; d++) printf " %d", rand() * 9 - 4; print "" } }' > events.csv
	hare-update -s whole --feature x --dim 8 events.csv
	hare-state dump -s whole > whole.csv
}
setup() {
	cd "$BATS_TEST_TMPDIR"
	events="$BATS_FILE_TMPDIR/events.csv"; whole="$BATS_FILE_TMPDIR/whole.csv"
	times=${HARE_FAULT_TIMES:-1}
}
teardown() {
	if mountpoint -q "$BATS_TEST_TMPDIR/disk"; then umount "$BATS_TEST_TMPDIR/disk"; fi
}
learn() { hare-update --feature x --dim 8 "$@"; }
observations() { hare-state info -s "$1" | sed -n 's/^observations,//p'; }
# the state holds exactly the first n events, whatever n is
is_prefix() {
	local n; n=$(observations "$1") || return 1
	rm -f replay
	# made, and nothing committed yet
	[ "$n" -gt 0 ] || { [ "$(hare-state info -s "$1" | grep -c '^users,0\|^generation,0')" -eq 2 ]; return; }
	head -n $((n + 1)) "$events" | learn -s replay
	hare-state dump -s "$1" > left; hare-state dump -s replay > right
	cmp left right
}

@test "faults: kill -9 at any moment: the state is a replay of the committed prefix, and the same command goes on" {
	n_between=0
	for i in $(seq $((12 * times))); do
		rm -f s s-wal s-shm .s.*
		for run in 1 2; do
			hare-update --feature x --dim 8 -s s --buffer 1 "$events" & pid=$!
			sleep "$(/usr/bin/python3 -c "import random; print(random.Random($i * 10 + $run).uniform(.01, .08))")"
			kill -9 $pid 2> /dev/null || true
			wait $pid 2> /dev/null || true
			[ -e s ] || continue
			is_prefix s
			n=$(observations s)
			[ "$n" -gt 0 ] && [ "$n" -lt 60000 ] && n_between=$((n_between + 1))
			hare-state check -s s
		done
		learn -s s --buffer 1 "$events"
		hare-state dump -s s | cmp - "$whole"
		[ ! -e s-wal ]
	done
	[ "$n_between" -gt 0 ]
}
@test "faults: kill -9 of merge, load, forget, backup and compact: the old file or the new one, no third" {
	for i in $(seq $((8 * times))); do
		cp "$BATS_FILE_TMPDIR/whole" s
		for verb in merge load backup forget compact; do
			rm -f out out-wal out-shm
			case $verb in
			merge) hare-state merge -o out s & ;;
			load) hare-state load -s out "$whole" & ;;
			backup) hare-state backup -s s out & ;;
			forget) hare-state forget -s s user001 & ;;
			compact) hare-state compact -s s & ;;
			esac
			pid=$!
			sleep "$(/usr/bin/python3 -c "import random; print(random.Random($i).uniform(0, .06))")"
			kill -9 $pid 2> /dev/null || true
			wait $pid 2> /dev/null || true
			if [ -e out ]; then hare-state dump -s out | cmp - "$whole"; fi
			hare-state check -s s
			hare-state dump -s s | grep -v '^user,user001,' | cmp - <(grep -v '^user,user001,' "$whole")
		done
	done
}
@test "faults: asked to end while it waits for records, load takes its temporary files along" {
	for signal in TERM HUP; do
		mkdir "$signal"; mkfifo "$signal.pipe"
		hare-state load -s "$signal/s" < "$signal.pipe" 3>&- & pid=$!
		exec 7> "$signal.pipe"
		head -3 "$whole" >&7
		n=0
		until ls -A "$signal" | grep -q wal || [ $((n += 1)) -gt 500 ]; do sleep .02; done
		ls -A "$signal" | grep -q wal
		kill -"$signal" $pid
		wait $pid && false || status=$?
		exec 7>&-
		[ "$status" -gt 128 ]
		[ -z "$(ls -A "$signal")" ]
	done
}
@test "faults: a limit on the size of files: 75, nothing lost, the same command goes on" {
	n_full=0
	for limit in 40 100 200 300 450; do
		rm -f s s-wal s-shm .s.*
		status=0
		(ulimit -f $((limit * 2)); learn -s s --buffer 1 "$events") 2> err || status=$?
		if [ "$status" -ne 0 ]; then
			[ "$status" -eq 75 ] || { cat err; false; }
			[ "$(wc -l < err)" -eq 1 ]
			n_full=$((n_full + 1))
		fi
		if [ -e s ]; then is_prefix s; fi
		learn -s s --buffer 1 "$events"
		hare-state dump -s s | cmp - "$whole"
		hare-state check -s s
	done
	[ "$n_full" -ge 3 ]
}
@test "faults: a full disk: 75, nothing lost, the same command goes on once there is room" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to mount a small file system"
	mkdir disk
	mount -t tmpfs -o size=24m none disk 2> /dev/null || skip "may not mount here"
	n_full=0
	for spare in 0 200 600 1000 2000 4000; do
		rm -rf disk/* disk/.s*
		head -c $(((24 * 1024 - spare) * 1024)) /dev/zero > disk/ballast 2> /dev/null || true
		status=0
		learn -s disk/s --buffer 1 "$events" 2> err || status=$?
		if [ "$status" -ne 0 ]; then
			[ "$status" -eq 75 ] || { cat err; false; }
			n_full=$((n_full + 1))
		fi
		rm -f disk/ballast
		if [ -e disk/s ]; then is_prefix disk/s; fi
		learn -s disk/s --buffer 1 "$events"
		hare-state dump -s disk/s | cmp - "$whole"
	done
	[ "$n_full" -ge 3 ]
	# other verbs on a full disk
	head -c 30000000 /dev/zero > disk/ballast 2> /dev/null || true
	run -75 --separate-stderr hare-state merge -o disk/m disk/s
	[[ "$stderr" == "hare-state: disk/m: "* ]]
	run -75 hare-state load -s disk/l "$whole"
	run -75 hare-state backup -s disk/s disk/b
	[ ! -e disk/m ]
	[ ! -e disk/l ]
	[ ! -e disk/b ]
	# room for the log of the new state, but not for its pages as well: nothing may stay that fills the disk for ever
	n_log=0
	for room in 500 700 800 900; do
		umount disk
		mount -t tmpfs -o size=${room}k none disk
		status=0
		hare-state load -s disk/l "$whole" 2> err || status=$?
		if [ "$status" -ne 0 ]; then
			[ "$status" -eq 75 ]
			[ -z "$(ls -A disk)" ]
		fi
		if grep -q 'copying the log back' err; then n_log=$((n_log + 1)); fi
	done
	[ "$n_log" -ge 1 ]
	umount disk
	mount -t tmpfs -o size=24m none disk
	cp "$BATS_FILE_TMPDIR/whole" disk/s
	head -c 30000000 /dev/zero > disk/ballast 2> /dev/null || true
	# it can be read all the same
	hare-state dump -s disk/s | cmp - "$whole"
	rm disk/ballast
	hare-state dump -s disk/s | cmp - "$whole"
}
@test "faults: two writers of many small commits: exact totals, nobody starves, readers see whole commits" {
	for w in 1 2; do
		(for i in $(seq $((20 * times))); do
			printf 'user,reward,x\nboth,1,1 0 0 0 0 0 0 0\nonly%d,1,0 1 0 0 0 0 0 0\n' $w | learn -s s || exit 1
		done) & pids[w]=$!
	done
	for i in $(seq 10); do
		[ -e s ] && hare-state dump --mean -s s > /dev/null
		sleep .05
	done
	wait "${pids[1]}"
	wait "${pids[2]}"
	[ "$(hare-state dump -s s | awk -F, '$1 == "user" { print $2 "=" $3 }' | tr '\n' ' ')" = "both=$((40 * times)) only1=$((20 * times)) only2=$((20 * times)) " ]
	hare-state check -s s
}
@test "faults: a merge beside a writer takes one commit of it: beliefs, events and sources of the same moment" {
	awk 'BEGIN { print "e,user,reward,x"; for (i = 0; i < 40000; i++) printf "big%d,u%d,1,1 0 0 0 0 0 0 0\n", i, i % 50 }' | learn -s big --event-id e
	printf 'e,user,reward,x\nfirst,both,1,1 0 0 0 0 0 0 0\n' | learn -s busy --event-id e
	(for i in $(seq $((60 * times))); do
		printf 'e,user,reward,x\nid%d,both,1,1 0 0 0 0 0 0 0\n' $i | learn -s busy --event-id e || exit 1
	done) & writer=$!
	for i in $(seq $((5 * times))); do
		hare-state merge -o "sum$i" busy big
	done
	wait $writer
	for i in $(seq $((5 * times))); do
		[ "$(hare-state info -s "sum$i" | sed -n 's/^events,//p')" -eq "$(observations "sum$i")" ]
	done
}
@test "faults: two runs over the same file: each row counts once, and one of them may be told to run again" {
	for i in $(seq $((3 * times))); do
		rm -f s
		st1=0; st2=0
		learn -s s --buffer 1 "$events" 2> err1 & p1=$!
		learn -s s --buffer 1 "$events" 2> err2 & p2=$!
		wait $p1 || st1=$?
		wait $p2 || st2=$?
		[ "$st1" -eq 0 ] || [ "$st1" -eq 75 ]
		[ "$st2" -eq 0 ] || [ "$st2" -eq 75 ]
		learn -s s --buffer 1 "$events"
		hare-state dump -s s | cmp - "$whole"
	done
}
@test "faults: damage: every user's value is right, or the status is 65; never a signal or a hang" {
	head -n 3001 "$events" | learn -s sound
	hare-state dump -s sound > sound.csv
	n_wrong=0 n_told=0 n=$((200 * times))
	for i in $(seq $n); do
		/usr/bin/python3 - $i <<-'PY'
			import random, sys
			r = random.Random(int(sys.argv[1]))
			b = bytearray(open("sound", "rb").read())
			page = 32768; n_page = len(b) // page
			kind = int(sys.argv[1]) % 6
			if kind <= 2:
			    i = r.randrange(len(b)) if kind else r.randrange(4096)
			    b[i] ^= 1 << r.randrange(8)
			elif kind == 3:
			    i = r.randrange(n_page) * page
			    b[i:i + page] = bytes(page)
			elif kind == 4:
			    i, j = r.sample(range(n_page), 2)
			    b[j * page:(j + 1) * page] = b[i * page:(i + 1) * page]
			else:
			    del b[r.randrange(len(b)):]
			open("bad", "wb").write(b)
		PY
		status=0
		timeout 20 hare-state dump -s bad > bad.csv 2> err || status=$?
		if [ "$status" -eq 0 ]; then
			cmp -s bad.csv sound.csv || n_wrong=$((n_wrong + 1))
		elif [ "$status" -eq 65 ] && [ "$(wc -l < err)" -eq 1 ]; then
			n_told=$((n_told + 1))
			# what came out before the damage is right
			/usr/bin/python3 -c 'import sys; a = open("bad.csv").readlines()[:-1]; b = open("sound.csv").readlines(); sys.exit(a != b[:len(a)])' || n_wrong=$((n_wrong + 1))
		else
			echo "try $i: status $status: $(cat err)"
			n_wrong=$((n_wrong + 1))
		fi
		rm -f bad-wal bad-shm
	done
	echo "$n_wrong wrong, $n_told told of $n"
	[ "$n_wrong" -eq 0 ]
	[ "$n_told" -gt $((n * 8 / 10)) ]
}
@test "faults: learning into a damaged state changes nothing and ends with 65" {
	head -n 3001 "$events" | learn -s sound
	for i in 1 2 3 4 5 6; do
		/usr/bin/python3 - $i <<-'PY'
			import sys
			b = bytearray(open("sound", "rb").read())
			# the leaves of users are the larger part of the file
			for p in range(6, len(b) // 32768, 2):
			    b[p * 32768 + 3000 + int(sys.argv[1]) * 4000] ^= 4
			open("bad", "wb").write(b)
		PY
		run -65 --separate-stderr learn -s bad "$events"
		[ "${#stderr_lines[@]}" -eq 1 ]
		[[ "$stderr" == "hare-update: bad: "*damaged* ]]
		rm -f bad-wal bad-shm
	done
}
@test "faults: a damaged log after a crash loses commits from its end at most" {
	mkfifo pipe
	hare-update --feature x --dim 8 -u -s s < pipe & pid=$!
	exec 8> pipe
	head -n 2001 "$events" >&8
	for _ in $(seq 50); do [ -e s ] && [ "$(observations s)" = 2000 ] && break; sleep .1; done
	kill -9 $pid; wait $pid 2> /dev/null || true
	exec 8>&-
	cp s base; cp s-wal base-wal 2> /dev/null || : > base-wal
	for i in 1 2 3 4 5; do
		cp base t; cp base-wal t-wal; rm -f t-shm
		/usr/bin/python3 -c 'import random, sys; b = bytearray(open("t-wal", "rb").read()); r = random.Random(int(sys.argv[1])); 
if b: b[r.randrange(len(b))] ^= 1
open("t-wal", "wb").write(b)' $i
		status=0
		n=$(observations t) || status=$?
		if [ "$status" -eq 0 ]; then is_prefix t; fi
	done
}
