# matrix.bash - a small world of models, pools and states, and the commands that are tried on it; for bats files.
# setup_file() calls make_world, setup() calls enter_world.

# All that read records, by a short name; call() has their command lines.
readers="fit embed build add attend explain choose item z x blend prompt load"

make_world() {
	cd "$BATS_FILE_TMPDIR"
	mkdir world
	cd world
	{
		echo id,text
		for i in 1 2 3 4 5 6; do
			echo "a$i,red apple pie number $i of the kitchen"
			echo "b$i,blue sea wave number $i at the harbour"
			echo "c$i,green leaf tree number $i in the forest"
		done
	} > texts.csv
	sed 's/red/old/; s/blue/cold/; s/green/gold/' texts.csv > others.csv
	hare-embed fit -q -d 4 --clusters 2 -o model texts.csv
	hare-embed fit -q -d 4 --clusters 2 -o other.model others.csv
	hare-embed fit -q -d 3 --clusters 2 -o small.model texts.csv
	hare-embed -m model texts.csv | hare-pool build -m model -o pool
	hare-embed -m other.model texts.csv | hare-pool build -m other.model -o other.pool

	# three good records for each command; nothing in them needs quotes, so that awk can spoil them
	head -4 texts.csv > good.fit
	head -4 texts.csv > good.embed
	printf 'id,title,x\nn1,one,1 0 0 0\nn2,two,0 1 0 0\nn3,three,0 0 0.6 0.8\n' > good.build
	cp good.build good.add
	printf 'id,user,x\n1,ann,1 0 0 0\n2,bob,0 1 0 0\n3,ann,0 0 0.6 0.8\n' > good.attend
	cp good.attend good.explain
	cp good.attend good.choose
	printf 'user,item,reward,time,x\nann,a1,1,1,1 0 0 0\nbob,b1,0,2,0 1 0 0\nann,c1,0.5,3,0 0 1 0\n' > good.item
	printf 'user,z,reward,time\nann,1 0 0 0,1,1\nbob,0 1 0 0,0,2\nann,0 0 1 0,0.5,3\n' > good.z
	printf 'user,x,reward,time\nann,1 0 0 0,1,1\nbob,0 1 0 0,0,2\nann,0 0 1 0,0.5,3\n' > good.x
	printf 'user,query,items,weights\nann,apple,a1 a2,0.75 0.25\nbob,sea,b1 b2,0.5 0.5\nnew,leaf,c1,1\n' > good.blend
	cp good.blend good.prompt

	# the states that are updated, and what they hold after none and after one of the good records
	for f in item z x; do
		head -1 good.$f > none.csv
		head -2 good.$f > one.csv
		pool=
		[ $f != item ] || pool='-p pool'
		hare-update -m model $pool --feature $f -s state.$f < good.$f
		hare-state dump -s state.$f > dump.$f.0
		cp state.$f later
		hare-update -m model $pool --feature $f -s later < one.csv
		hare-state dump -s later > dump.$f.1
		rm later none.csv one.csv
	done
	cp state.item state
	hare-pool dump other.pool > others.x.csv
	printf 'user,item,reward\nann,a1,1\n' | hare-update -m other.model -p other.pool -s other.state
	hare-state dump -s state > good.load
	cp pool target.add
	for f in item z x; do cp state.$f target.$f; done
	for c in fit build; do echo 'what was there before' > target.$c; done
}

enter_world() {
	cp -r "$BATS_FILE_TMPDIR/world" "$BATS_TEST_TMPDIR/world"
	cd "$BATS_TEST_TMPDIR/world"
	out=$BATS_TEST_TMPDIR/out err=$BATS_TEST_TMPDIR/err
	unset HARE_MODEL HARE_POOL HARE_STATE
	failures=
}

# The command line of a short name, into argv: call NAME FILE [OPTION ...]
call() {
	local name=$1 file=$2
	shift 2
	case $name in
	fit) argv=(hare-embed fit -q -d 4 --clusters 2 -o target.fit "$@" "$file") ;;
	embed) argv=(hare-embed -m model "$@" "$file") ;;
	build) argv=(hare-pool build -m model -o target.build "$@" "$file") ;;
	add) argv=(hare-pool add -m model -p target.add "$@" "$file") ;;
	attend) argv=(hare-attend -m model -p pool -s state "$@" "$file") ;;
	explain) argv=(hare-attend -m model -p pool -s state --explain "$@" "$file") ;;
	choose) argv=(hare-attend -m model -p pool -s state --choose 2 "$@" "$file") ;;
	item) argv=(hare-update -m model -p pool -s target.item "$@" "$file") ;;
	z) argv=(hare-update -m model --feature z -s target.z "$@" "$file") ;;
	x) argv=(hare-update -m model --feature x -s target.x "$@" "$file") ;;
	blend) argv=(hare-decode -p pool "$@" "$file") ;;
	prompt) argv=(hare-decode -p pool -s state --prompt "$@" "$file") ;;
	load) argv=(hare-state load -s target.load "$@" "$file") ;;
	esac
}

# The columns that a command cannot do without.
needs() {
	case $1 in
	fit | embed) echo text ;;
	build | add) echo id x ;;
	attend | explain | choose) echo x ;;
	item) echo user item reward ;;
	z) echo user z reward ;;
	x) echo user x reward ;;
	blend) echo items weights ;;
	prompt) echo query items weights ;;
	load) echo kind key value ;;
	esac
}

note() { failures+="$*"$'\n'; }
verdict() { printf '%s' "$failures"; [ -z "$failures" ]; }

# told STATUS PATTERN WHAT: argv ends with STATUS and one line on stderr that matches (64: perhaps with the usage behind);
# the folder has the same files as before, and, unless they are states, with the same bytes.
told() {
	local status=$1 line=$2 what=$3 got=0
	before=$(sums)
	timeout 60 "${argv[@]}" > "$out" 2> "$err" || got=$?
	[ "$got" -eq "$status" ] || note "$what: status $got, not $status, of ${argv[*]}: $(head -c 300 "$err")"
	mapfile -t said < "$err"
	[ ${#said[@]} -eq 1 ] || [ "$status$(grep -vc '^usage: \|^       ' "$err")" = 641 ] ||
		note "$what: ${#said[@]} lines, not one: $(head -c 500 "$err")"
	[[ "${said[0]}" == "${argv[0]}: "$line ]] || note "$what: expected '${argv[0]}: $line', got '${said[0]}'"
	[ "${#said[0]}" -lt 400 ] || note "$what: a line of ${#said[0]} characters"
	same "$what"
}

# What is in the folder, for same(); states that are updated are looked at by learnt(), so that contents() has but their names.
sums() { shopt -s dotglob; exec cksum -- *; }
contents() { sed 's/^.* \(target\.\(item\|z\|x\)\)$/\1/'; }

# same WHAT [FOLDER]: no file is new, gone or changed since $before.
same() {
	local change after
	after=$(cd "${2:-.}" && sums)
	[ "$before" != "$after" ] || return 0
	change=$(diff <(contents <<< "$before") <(contents <<< "$after") | sed -n 's/^\([<>]\) .* /\1 /p; s/^\([<>] target\.[a-z]*\)$/\1/p' | tr '\n' ' ')
	[ -z "$change" ] || note "$1: files have changed: $change"
}

# learnt NAME N WHAT: the state of an update is that after the first N records; others need no look
learnt() {
	case $1 in
	item | z | x)
		hare-state dump -s target.$1 > ../dump
		cmp -s ../dump dump.$1.$2 || note "$3: the state is not that of $2 records"
		cp state.$1 target.$1
		;;
	esac
}

# spoil NAME COLUMN CELL: the good input with another cell in the second record, line 3
spoil() {
	awk -F, -v OFS=, -v column="$2" -v cell="$3" '
		NR == 1 { for (i = 1; i <= NF; i++) if ($i == column) c = i }
		NR == 3 { $c = cell }
		{ print }' "good.$1" > in.csv
}

