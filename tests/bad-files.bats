#!/usr/bin/env bats
# Bad files as a matrix: every command, against every way in which a MODEL, a POOL, a STATE, an input or an output can
# be missing, foreign, cut, altered, unreadable or unwritable. What was there before stays.
bats_require_minimum_version 1.5.0
load matrix

setup_file() { make_world; }
setup() { enter_world; }
teardown() { ! mountpoint -q "$BATS_TEST_TMPDIR/world/disk" || umount "$BATS_TEST_TMPDIR/world/disk"; }

# Which of the three files a command reads: words of "model pool state".
reads() {
	case $1 in
	fit) ;;
	embed | build | add) echo model ;;
	attend | explain | choose) echo model pool state ;;
	item) echo model pool target.item ;;
	z) echo model target.z ;;
	x) echo model target.x ;;
	blend) echo pool ;;
	prompt) echo pool state ;;
	esac
}

# The verbs that take a file of their own kind and no records, each as a line: the file, then the command.
lookers='pool hare-pool info pool
pool hare-pool dump pool
pool hare-pool dump --npy v.npy pool
pool hare-pool get pool a1
pool hare-pool check pool
pool hare-pool merge -o target.build pool
pool hare-pool shard -n 2 -o part pool
state hare-state info -s state
state hare-state dump -s state
state hare-state dump --mean -s state
state hare-state check -s state
state hare-state merge -o merged state state.z
state hare-state forget -s state ann
state hare-state compact -s state
state hare-state backup -s state copy'

# each_user PROCEDURE ...: calls it with "FILE WHAT" appended and argv set, for all that read a MODEL, POOL or STATE;
# some_user: for each room of the house that does
each_user() {
	local c f line
	for c in $readers; do
		for f in $(reads $c); do
			call $c good.$c
			"$@" $f "$c with $f"
		done
	done
	while read -r f line; do
		argv=($line)
		"$@" $f "$line"
	done <<< "$lookers"
}

some_user() { readers='embed build add attend item prompt blend' each_user "$@"; }

# with_instead FILE SOURCE COMMAND ...: FILE is SOURCE meanwhile (a folder, another file, nothing: -)
with_instead() {
	local file=$1 source=$2
	shift 2
	mv "$file" ../aside
	[ "$source" = - ] || cp -r "$source" "$file"
	"$@"
	rm -rf "$file"
	mv ../aside "$file"
}

@test "a MODEL, POOL or STATE that is not there is 66 and named" {
	missing() {
		case "$2" in
		# a STATE that is not there yet is a new one
		attend* | explain* | choose* | prompt* | item*target* | z*target* | x*target*) ;;
		*) with_instead $1 - told 66 "$1: No such file or directory" "$2 missing" ;;
		esac
	}
	each_user missing
	for c in attend prompt; do
		call $c good.$c
		with_instead pool - told 66 "pool: No such file or directory" "$c without its pool"
	done
	call item good.item
	with_instead model - told 66 "model: No such file or directory" "update without its model"
	verdict
}

@test "a folder where a MODEL, POOL or STATE should be is 66 and named" {
	mkdir ../folder
	folder() { with_instead $1 ../folder told 66 "$1: *irectory*" "$2 a folder"; }
	each_user folder
	verdict
}

@test "inputs that are not there, or are folders, are 66 and named; so is a folder for output" {
	mkdir folder
	for c in $readers; do
		call $c nosuch.csv
		told 66 'nosuch.csv: No such file or directory' "$c of a missing file"
		call $c folder
		told 66 'folder: *irectory*' "$c of a folder"
		learnt $c 0 "$c of a folder"
	done
	for c in fit build; do
		call $c good.$c -o folder
		told 66 'folder*: *irectory*' "$c into a folder"
		call $c good.$c -o nosuch/target
		told 66 'nosuch*: No such file or directory' "$c into a folder that is not there"
	done
	call x good.x -s nosuch/state
	told 66 'nosuch*: No such file or directory' "update of a state in a folder that is not there"
	call load good.load -s nosuch/state
	told 66 'nosuch*: No such file or directory' "load of a state in a folder that is not there"
	verdict
}

@test "something else where a MODEL, POOL or STATE should be is 65 and named" {
	gzip -c pool > pool.gz
	: > empty
	head -c 5000 /dev/urandom > noise
	printf '\100\0\0\0\0\0\0\0%-64s%8s' '{"x":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}' '' > foreign
	foreign() {
		for other in empty noise good.attend pool.gz model pool state foreign; do
			case "$1 $other" in
			'model model' | 'pool pool' | 'state state' | target.*\ state) continue ;;
			# sqlite makes no difference between an empty file and a new one
			state\ empty | target.*\ empty) continue ;;
			esac
			with_instead $1 $other told 65 "*$1*" "$2 is $other"
		done
	}
	some_user foreign
	verdict
}

@test "files of different spaces, dimensions and settings are 65, with both named" {
	pair() { told 65 "*$1*" "$3"; told 65 "*$2*" "$3"; }
	argv=(hare-attend -m other.model -p pool good.attend)
	pair other.model pool 'attend, MODEL of another space'
	argv=(hare-attend -m model -p other.pool good.attend)
	pair model other.pool 'attend, POOL of another space'
	argv=(hare-attend -m model -p pool -p other.pool good.attend)
	told 65 '*other.pool*' 'attend, two POOLs of two spaces'
	argv=(hare-attend -m model -p pool -s other.state good.attend)
	told 65 '*other.state*' 'attend, STATE of another space'
	argv=(hare-attend -m model -p pool -s state.x good.attend)
	"${argv[@]}" > /dev/null 2> "$err" || [ "$(wc -l < "$err")" -eq 1 ] || note "attend, STATE of features x: $(cat "$err")"
	argv=(hare-pool add -m other.model -p target.add good.add)
	pair other.model target.add 'add, MODEL of another space'
	argv=(hare-pool merge -o merged pool other.pool)
	pair pool other.pool 'merge of two spaces'
	argv=(hare-pool build -m small.model -o target.build good.build)
	told 65 'good.build:2: column x: expected 3 numbers, got 4' 'build with a MODEL of another dimension'
	argv=(hare-update -m other.model -p pool -s target.item good.item)
	pair other.model pool 'update, MODEL of another space'
	argv=(hare-update -m other.model -p other.pool -s target.item good.item)
	told 65 '*target.item*' 'update, STATE of another space'
	argv=(hare-update --feature x --dim 5 -s target.x good.x)
	told 65 '*target.x*' 'update, STATE of another dimension'
	argv=(hare-update -m model -p pool -s target.item --half-life 7 good.item)
	told 65 '*target.item*half*life*7*' 'update, STATE of another half-life'
	argv=(hare-decode -p pool -s other.state --prompt good.prompt)
	pair other.state pool 'decode, STATE of another space'
	argv=(hare-decode -p pool -p other.pool good.blend)
	told 65 '*other.pool*' 'decode, two POOLs of two spaces'
	argv=(hare-state merge -o merged state other.state)
	pair state other.state 'merge of states of two spaces'
	argv=(hare-state merge -o merged state.z state.x)
	pair state.z state.x 'merge of states of two features'
	for f in item z x; do
		hare-state dump -s target.$f | cmp -s - dump.$f.0 || note "target.$f has changed"
	done
	verdict
}

# altered FILE POSITION: one bit there is another
flip() {
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	printf "\\x$(printf %02x $((byte ^ 16)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# right_or_65 RIGHT WHAT: argv gives the bytes in the file RIGHT, or 65 and one line
right_or_65() {
	local got=0 right=$1
	shift
	timeout 60 "${argv[@]}" > "$out" 2> "$err" || got=$?
	if [ $got -eq 0 ]; then
		cmp -s "$out" "$right" || note "$1: another answer, and no word"
		[ ! -s "$err" ] || note "$1: status 0, and $(cat "$err")"
	else
		[ $got -eq 65 ] || note "$1: status $got"
		[ "$(wc -l < "$err")" -eq 1 ] || note "$1: $(head -c 300 "$err")"
		[[ "$(cat "$err")" == "${argv[0]}: "* ]] || note "$1: $(cat "$err")"
	fi
}

# Where a safetensors file is tried: every byte of the length, then header, metadata, data, checksum, tail.
places() {
	local size header
	size=$(stat -c %s "$1")
	header=$(od -An -tu8 -N 8 "$1")
	seq 0 7
	echo 8 9 $((8 + header / 3)) $((8 + header - 1)) | tr ' ' '\n'
	grep -abo '__metadata__\|"space":"\|"dim":"\|data_offsets":\[\|F32' "$1" | head -12 | sed 's/:\(.*\)$/ \1/' | while read -r at what; do echo $((at + ${#what})); done
	echo $((8 + header)) $((8 + header + 5)) $((8 + header + (size - 8 - header) / 3)) $((8 + header + (size - 8 - header) / 2)) $((size - 30)) $((size - 17)) $((size - 9)) $((size - 1)) | tr ' ' '\n'
}

@test "a MODEL or POOL with one bit altered gives the right answer or 65, everywhere" {
	for f in model pool; do
		cp $f ../whole
		who=
		for c in embed attend blend; do
			[[ " $(reads $c) " == *" $f "* ]] || continue
			who+=" $c"
			call $c good.$c
			"${argv[@]}" > ../right.$c
		done
		for at in $(places $f); do
			flip $f $at
			[ $f = model ] || { argv=(hare-pool check pool); told 65 'pool: *' "check of a pool altered at $at"; }
			for c in $who; do
				call $c good.$c
				right_or_65 ../right.$c "$c with $f altered at $at"
				[ $f = pool ] || [ -s "$err" ] || note "$c: a model altered at $at is taken"
			done
			cp ../whole $f
		done
	done
	verdict
}

@test "a large MODEL that is altered in what texts need is refused where texts are, and else gives the right answer" {
	# 8,000 words: their numbers lie behind the first megabyte, which holds what all others need
	awk 'BEGIN { print "id,text"; for (i = 0; i < 8000; i++) { t = ""; for (k = 0; k < 8; k++) t = t " w" (i + k * (k + 1)) % 8000; print "d" i "," t } }' > texts.csv
	hare-embed fit -q -d 64 --clusters 4 -o large texts.csv
	size=$(stat -c %s large)
	[ "$size" -gt 2000000 ]
	head -n 40 texts.csv | hare-embed -m large > x.csv
	hare-pool build -m large -o large.pool x.csv
	awk -F, -v OFS=, 'NR == 1 { print "user,item", $3 } NR > 1 { print "u" NR % 5, $1, $3 }' x.csv > log.csv
	hare-attend -m large -p large.pool x.csv > right
	for at in 1100000 $((size / 2 + 500000)) $((size - 20000)); do
		flip large $at
		for argv in "hare-embed -m large texts.csv" "hare-train prior -m large -p large.pool -o trained log.csv"; do
			argv=($argv)
			told 65 '*: damaged: bytes * do not match their checksum (tensor *' "${argv[0]} with a byte altered at $at"
		done
		[ ! -e trained ]
		argv=(hare-attend -m large -p large.pool x.csv)
		"${argv[@]}" > got
		cmp got right
		flip large $at
	done
	flip large 20000
	told 65 '*large: damaged: bytes *' "attention with its first megabyte altered"
	verdict
}

@test "a MODEL or POOL that is cut, or has bytes behind its end, is 65 for everybody, and a cut state too" {
	mangled() {
		local n size
		size=$(stat -c %s $1)
		case $1 in
		model | pool) n="7 100 $((size / 2)) $((size - 1))" ;;
		*) n="15 100 4096 5000 $((size / 2 / 4096 * 4096))" ;;
		esac
		for n in $n; do
			head -c $n $1 > ../cut
			with_instead $1 ../cut told 65 "*$1*" "$2 cut to $n bytes"
		done
		case $1 in
		model | pool)
			{ cat $1; echo; } > ../longer
			with_instead $1 ../longer told 65 "*$1*" "$2 with a byte more" ;;
		esac
	}
	some_user mangled
	verdict
}

@test "a STATE with one bit altered gives the right answer or 65, everywhere" {
	cp state ../whole
	size=$(stat -c %s state)
	places="0 16 18 19 20 24 28 31 36 44 47 52 56 63 68 92 99 100 103 105 108"
	# the first and last bytes of every page that is not blank
	for ((page = 0; page < size; page += 4096)); do
		if dd if=state bs=4096 skip=$((page / 4096)) count=1 status=none | tr -d '\0' | read -r -n 1; then
			places="$places $((page + 4)) $((page + 3900)) $((page + 4095))"
		fi
	done
	asked=('hare-state dump -s state' 'hare-attend -m model -p pool -s state good.attend')
	for i in 0 1; do ${asked[i]} > ../right.$i; done
	cp ../whole state
	for at in $places; do
		for i in 0 1; do
			argv=(${asked[i]})
			flip state $at
			right_or_65 ../right.$i "${argv[0]} of a state altered at $at"
			rm -f state-*
			cp ../whole state
		done
		flip state $at
		timeout 60 hare-state check -s state > "$out" 2> "$err" && [ ! -s "$err" ] || [ $? -eq 65 ] || note "check of a state altered at $at: not 65"
		rm -f state-*
		cp ../whole state
	done
	verdict
}

@test "files that may not be read or written are 77 and named" {
	as=
	if [ "$(id -u)" -eq 0 ]; then
		as='setpriv --reuid 65534 --regid 65534 --clear-groups'
		$as true 2> /dev/null || skip 'root may read everything, and nobody cannot be asked instead'
		# up to the root, the way must be open
		d=$PWD
		while [ "$d" != / ]; do
			$as test -x "$d" || chmod o+x "$d"
			d=$(dirname "$d")
		done
		$as hare-pool --version > /dev/null || skip 'nobody may not run the programs'
		chmod -R a+rX . && chmod a+rwx . && chmod a+rw target.* state*
	fi
	shut() {
		chmod 0 $1
		prefix=("${argv[@]}")
		got=0
		$as "${argv[@]}" > "$out" 2> "$err" || got=$?
		[ $got -eq 77 ] || note "$2: status $got, $(cat "$err")"
		[ "$(wc -l < "$err")" -eq 1 ] || note "$2: not one line: $(cat "$err")"
		[[ "$(cat "$err")" == "${argv[0]}: $1: "* ]] || note "$2: $(cat "$err")"
		chmod 666 $1
	}
	each_user shut
	for c in $readers; do
		call $c good.$c
		shut good.$c "$c of its input"
	done
	mkdir locked
	chmod 755 locked
	for c in fit build; do
		call $c good.$c -o locked/target
		got=0
		$as "${argv[@]}" > "$out" 2> "$err" || got=$?
		[ $got -eq 77 ] || [ -z "$as" ] || note "$c into a locked folder: status $got, $(cat "$err")"
		[ "$(wc -l < "$err")" -eq 1 ] || [ -z "$as" ] || note "$c into a locked folder: $(cat "$err")"
	done
	verdict
}

@test "stdout that is full is 74, with one line, for all that write there" {
	full() {
		local got=0
		"${argv[@]}" > /dev/full 2> "$err" || got=$?
		[ $got -eq 74 ] || note "$1: status $got, $(cat "$err")"
		[ "$(cat "$err")" = "${argv[0]}: stdout: No space left on device" ] || note "$1: $(cat "$err")"
	}
	for c in embed attend explain choose blend prompt; do
		call $c good.$c
		full $c
		call $c good.$c -J
		full "$c -J"
	done
	while read -r f line; do
		case "$line" in
		*\ info* | *\ dump\ * | *\ get*) ;;
		*) continue ;;
		esac
		case "$line" in *npy*) continue ;; esac
		argv=($line)
		full "$line"
	done <<< "$lookers"
	verdict
}

@test "a reader that leaves is no error worth a word" {
	for c in embed attend explain choose blend prompt; do
		{
			head -1 good.$c
			sed -n 2,4p good.$c | awk '{ row[NR] = $0 } END { for (i = 0; i < 6000; i++) print row[i % 3 + 1] }'
		} > many.csv
		call $c many.csv
		"${argv[@]}" 2> "$err" | head -n 1 > "$out"
		[ ! -s "$err" ] || note "$c: $(cat "$err")"
		[ "$(wc -l < "$out")" -eq 1 ] || note "$c: nothing came out"
		"${argv[@]}" -u 2> "$err" | true
		[ ! -s "$err" ] || note "$c -u: $(cat "$err")"
	done
	verdict
}

# A disk with room for 20 kB, or a limit on the size of files: what is written does not fit.
fill() {
	{
		echo id,title,text,x,user,reward,time
		for i in $(seq 3000); do echo "m$i,title $i,some text of words $i and more of them $((i * 7919 % 1000)),0.6 0 -0.8 0,user$i,1,$i"; done
	} > many.csv
	hare-pool build -m model -o many.pool many.csv
	hare-update -m model --feature x -s many.state many.csv
	hare-state dump -s many.state > many.dump
	jobs='hare-embed fit -q -d 4 --clusters 2 -o D/target.fit many.csv
hare-pool build -m model -o D/target.build many.csv
hare-pool add -m model -p D/target.add many.csv
hare-pool merge -o D/target.build many.pool
hare-pool dump --npy D/target.build many.pool
hare-update -m model --feature x -s D/target.x many.csv
hare-state load -s D/new many.dump
hare-state backup -s many.state D/new
hare-state merge -o D/new many.state'
}

@test "a file that may not grow is 75: what was there stays, nothing is left over, the same command goes on" {
	fill
	# states begin with a quarter of a megabyte
	while read -r line; do
		limit=20
		case $line in *target.x* | hare-state*) limit=300 ;; esac
		cp "$BATS_FILE_TMPDIR"/world/target.* .
		rm -f new
		argv=(bash -c "ulimit -f $limit; exec ${line//D\//./}")
		before=$(sums)
		got=0
		"${argv[@]}" > "$out" 2> "$err" || got=$?
		[ $got -eq 75 ] || note "$line: status $got, $(cat "$err")"
		[ "$(wc -l < "$err")" -eq 1 ] || note "$line: not one line: $(cat "$err")"
		same "$line"
		if [[ $line == *target.x* ]]; then
			hare-state check -s target.x || note "$line: the state is not sound"
			rm -f target.x-*
		fi
		${line//D\//./} > "$out" 2> "$err" || note "$line, with room: status $?, $(cat "$err")"
	done <<< "$jobs"
	verdict
}

@test "a full disk is 75: what was there stays, nothing is left over, the same command goes on" {
	mkdir disk
	mount -t tmpfs -o size=600k tmpfs disk 2> /dev/null || skip 'a small disk cannot be mounted here'
	fill
	while read -r line; do
		rm -f disk/*
		target=${line#*D/target.}
		[ "$target" = "$line" ] || cp "$BATS_FILE_TMPDIR/world/target.${target%% *}" disk
		# 20 kB are left
		head -c $(($(df --output=avail -B 1 disk | tail -1) - 20480)) /dev/zero > disk/ballast
		before=$(cd disk && sums)
		got=0
		${line//D\//disk/} > "$out" 2> "$err" || got=$?
		[ $got -eq 75 ] || note "$line: status $got, $(cat "$err")"
		[ "$(wc -l < "$err")" -eq 1 ] || note "$line: not one line: $(cat "$err")"
		# sqlite may leave an empty log behind where it had no room for an index of it
		[ -s disk/target.x-wal ] || rm -f disk/target.x-*
		same "$line" disk
		rm disk/ballast
		mount -o remount,size=20m disk
		${line//D\//disk/} > "$out" 2> "$err" || note "$line, with room: status $?, $(cat "$err")"
		if [[ $line == *target.x* ]]; then
			cp state.x whole.x
			hare-update -m model --feature x -s whole.x many.csv
			hare-state dump -s whole.x > ../want
			hare-state dump -s disk/target.x | cmp -s - ../want || note "$line: resumed, another state"
		fi
		rm -f disk/*
		mount -o remount,size=600k disk
	done <<< "$jobs"
	verdict
}
