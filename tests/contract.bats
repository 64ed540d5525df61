#!/usr/bin/env bats
# What was promised to those who call the programs by their names: the flow, the names of commands, options and columns,
# and what every filter does alike. Written without looking at how it is done.
bats_require_minimum_version 1.5.0
load matrix

setup_file() {
	make_world
	cd "$BATS_FILE_TMPDIR/world"
	cp "$BATS_TEST_DIRNAME/data/skills.csv" all.csv
	# id,title,text of real English, 150 of them
	/usr/bin/python3 - <<-'END'
	import csv
	rows = list(csv.DictReader(open("all.csv", newline="")))
	out = csv.writer(open("skills.csv", "w", newline=""), lineterminator="\n")
	out.writerow(["id", "title", "text"])
	out.writerows([r["id"], r["title"], r["description"]] for r in rows)
	END
	hare-embed fit -o skills.model -c title,text < skills.csv
	hare-embed -m skills.model -c title,text < skills.csv > skills.x.csv
	hare-pool build -m skills.model -o skills.pool < skills.x.csv
	printf 'user,query\nann,I need help writing tests\nbob,I need help writing tests\n,plan a lesson\nann,"draw, ""a"" chart"\n' > q.csv
	set -- $(sed 1d skills.csv | cut -d, -f1 | head -4)
	printf 'user,item,reward\nann,%s,1\nann,%s,0\nbob,%s,1\nbob,%s,0.5\n' "$@" > r.csv
	hare-update -m skills.model -p skills.pool -s team.state < r.csv
	hare-embed -m skills.model -c query q.csv > x.csv
	hare-attend -m skills.model -p skills.pool -s team.state x.csv > z.csv
	hare-decode -p skills.pool z.csv > out.csv
}
setup() { enter_world; }

# The four that read records and write them: call NAME FILE [OPTION ...], with the names that follow; input_of NAME.
filters="ask find show tell"
call() {
	local name=$1 file=$2
	shift 2
	case $name in
	ask) argv=(hare-embed -m skills.model -c query "$@" "$file") ;;
	find) argv=(hare-attend -m skills.model -p skills.pool -s team.state "$@" "$file") ;;
	show) argv=(hare-attend -m skills.model -p skills.pool -s team.state -e -k 3 "$@" "$file") ;;
	tell) argv=(hare-decode -p skills.pool "$@" "$file") ;;
	esac
}
input_of() { case $1 in ask) echo q.csv ;; find | show) echo x.csv ;; tell) echo z.csv ;; esac; }
new_column() { case $1 in ask) echo x ;; find) echo z ;; show) echo rank ;; tell) echo output ;; esac; }

@test "the flow as it is written: two commands make the pool, three in a pipe answer, and a reward moves one user's answer" {
	hare-embed fit -o s.model -c title,text < skills.csv
	hare-embed -m s.model -c title,text < skills.csv | hare-pool build -m s.model -o s.pool
	ask() {
		printf 'user,query\nann,I need help writing tests\nbob,I need help writing tests\n' |
			hare-embed -m s.model -c query | hare-attend -m s.model -p s.pool -s t.state | hare-decode -p s.pool -s t.state
	}
	ask > first 2> "$err"
	[ "$(head -1 first)" = user,query,x,z,items,weights,entropy,uncertainty,output ]
	mlr --icsv --ojson cat first | jq -e 'length == 2 and .[0].output != "" and .[0].items == .[1].items' > /dev/null
	items=$(mlr --icsv --onidx --ifs , --ofs ' ' head -n 1 then cut -f items first)
	set -- $items
	printf 'user,item,reward\nann,%s,1\nann,%s,1\n' $5 $5 | hare-update -m s.model -p s.pool -s t.state
	ask > second 2> "$err"
	[ ! -s "$err" ]
	# bob's z is what it was; ann's is not
	z() { mlr --icsv --onidx --ofs , filter '$user == "'"$2"'"' then cut -f z,items,entropy "$1"; }
	[ "$(z first bob)" = "$(z second bob)" ]
	[ "$(z first ann)" != "$(z second ann)" ]
}

@test "commands and options have their names" {
	quiet() { "$@" > "$out" 2> "$err" || note "status $?: $*: $(head -2 "$err")"; }
	quiet hare-embed fit -o m.model -c title,text -d 8 --clusters 4 --seed 7 skills.csv
	quiet hare-embed -m m.model -c title,text -o vec skills.csv
	head -1 "$out" | grep -q ',vec$' || note 'embed -o vec: no column vec'
	sed 1d skills.x.csv | head -75 | sed '1i id,title,text,x' > half.csv 2> /dev/null || true
	quiet hare-pool build -m skills.model -o a.pool skills.x.csv
	printf 'id,text,x\nnew,a new one,%s\n' "$(tail -1 skills.x.csv | sed 's/.*,//')" > new.csv
	quiet hare-pool build -m skills.model -o b.pool new.csv
	quiet hare-pool add -m skills.model -p a.pool new.csv
	quiet hare-pool merge -o c.pool skills.pool b.pool
	quiet hare-pool info c.pool
	quiet hare-pool shard -n 3 -o part c.pool
	quiet hare-attend -m skills.model -p skills.pool --alpha 0.5 -k 3 x.csv
	[ "$(mlr --icsv --onidx cut -f items then head -n 1 "$out" | wc -w)" -eq 3 ] || note 'attend -k 3: not three items'
	quiet hare-attend -m skills.model -p skills.pool -p b.pool -s team.state --choose 1 x.csv
	head -1 "$out" | grep -q 'z,items,weights,entropy,uncertainty,item,propensity$' || note "attend --choose: $(head -1 "$out")"
	cp "$out" chosen.csv
	mlr --icsv --ocsv cut -f user,item,x then put '$reward = 1' chosen.csv | grep -v '^,' > clicked.csv
	sed -i '/^,/d' clicked.csv
	quiet hare-update -m skills.model -s team.state -p skills.pool -p b.pool --feature item --skip-bad -q clicked.csv
	mlr --icsv --ocsv put '$reward = 1' then filter '$user != ""' z.csv > zr.csv
	quiet hare-update -m skills.model -s z.state --feature z zr.csv
	quiet hare-update -m skills.model -s x.state --feature x zr.csv
	quiet hare-decode -p skills.pool -s team.state --prompt z.csv
	quiet hare-decode -p skills.pool --blend z.csv
	quiet hare-state info -s team.state
	quiet hare-state dump -s team.state
	cp "$out" dump.csv
	quiet hare-state load -s loaded.state dump.csv
	quiet hare-state check -s team.state
	hare-update -m skills.model -p skills.pool -s one.state < r.csv
	printf 'user,item,reward\ncyd,new,1\n' | hare-update -m skills.model -p b.pool -s two.state
	quiet hare-state merge -o sum.state one.state two.state
	quiet hare-state forget -s sum.state ann cyd
	hare-state dump -s sum.state | grep -q '^user,ann\|^user,cyd' && note 'forget: they are there'
	quiet hare-state backup -s sum.state copy.state
	cmp -s <(hare-state dump -s sum.state) <(hare-state dump -s copy.state) || note 'backup: another state'
	verdict
}

@test "the environment names MODEL, POOL and STATE for every command, and the command line wins" {
	export HARE_MODEL=skills.model HARE_POOL=skills.pool HARE_STATE=team.state
	hare-embed -c query q.csv | cmp - x.csv
	hare-attend x.csv | cmp - z.csv
	hare-decode z.csv | cmp - out.csv
	hare-pool build -o again skills.x.csv
	cmp again skills.pool
	hare-pool info | cmp - <(hare-pool info skills.pool)
	hare-pool check
	hare-state info | grep -q '^users,2$'
	hare-update r.csv
	hare-state info | grep -q '^sources,1$'
	HARE_STATE=wrong HARE_POOL=wrong HARE_MODEL=wrong hare-update -m skills.model -p skills.pool -s team.state r.csv
	HARE_MODEL=wrong hare-embed -m skills.model -c query q.csv | cmp - x.csv
	run -66 --separate-stderr env HARE_MODEL=wrong hare-embed -c query q.csv
	[ "$stderr" = 'hare-embed: wrong: No such file or directory' ]
	# empty is as good as not set
	run -64 --separate-stderr env HARE_MODEL= hare-embed -c query q.csv
	HARE_STATE= hare-attend --no-z x.csv > "$out"
}

@test "TSV and JSON Lines of every filter say what the CSV says" {
	rows() { /usr/bin/python3 -c '
import csv, json, sys
kind, name = sys.argv[1:]
csv.field_size_limit(1 << 30)
f = open(name, newline="", encoding="utf-8")
if kind == "csv":
    rows = [dict(r) for r in csv.DictReader(f)]
elif kind == "tsv":
    un = lambda c: c.replace("\\\\", "\0").replace("\\t", "\t").replace("\\n", "\n").replace("\\r", "\r").replace("\0", "\\")
    lines = [l.split("\t") for l in f.read().split("\n")[:-1]]
    rows = [dict(zip(lines[0], map(un, l))) for l in lines[1:]]
else:
    flat = lambda v: " ".join(map(flat, v)) if isinstance(v, list) else v if isinstance(v, str) else repr(v)
    rows = [{k: flat(v) for k, v in json.loads(l).items()} for l in f]
def plain(k, v):
    if k in ("output", "query", "title", "user"):
        return v
    try:
        return [float(w) for w in v.split()]
    except ValueError:
        return v
print([[(k, plain(k, v)) for k, v in r.items()] for r in rows])' "$@"; }
	for c in $filters; do
		call $c $(input_of $c)
		"${argv[@]}" > plain.csv
		rows csv plain.csv > want
		call $c $(input_of $c) -J
		"${argv[@]}" > "$out" || note "$c -J: status $?"
		rows json "$out" | cmp -s want - || note "$c -J: another answer: $(head -c 300 "$out")"
		/usr/bin/python3 -c '
import csv, sys
esc = lambda c: c.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
for r in csv.reader(open(sys.argv[1], newline="")):
    sys.stdout.write("\t".join(map(esc, r)) + "\n")' $(input_of $c) > in.tsv
		call $c in.tsv -T
		"${argv[@]}" > "$out" || note "$c -T: status $?"
		rows tsv "$out" | cmp -s want - || note "$c -T: another answer"
		[ "$(wc -l < "$out")" -eq $(($(/usr/bin/python3 -c 'import csv,sys; print(len(list(csv.reader(open("plain.csv", newline="")))))'))) ] || note "$c -T: a record is not a line"
	done
	verdict
}

@test "vectors in base64 through the whole pipe give the answers of decimals" {
	hare-embed --vec b64 -m skills.model -c query q.csv > xb.csv
	grep -q ',f32:' xb.csv
	hare-attend --vec b64 -m skills.model -p skills.pool -s team.state xb.csv > zb.csv
	hare-decode -p skills.pool zb.csv > outb.csv
	for c in items weights entropy uncertainty output; do
		cmp <(mlr --icsv --ojson cut -f $c outb.csv) <(mlr --icsv --ojson cut -f $c out.csv)
	done
	hare-embed --vec b64 -m skills.model -c title,text skills.csv | hare-pool build -m skills.model -o b64.pool
	cmp b64.pool skills.pool
	mlr --icsv --ocsv put '$reward = 1' then filter '$user != ""' z.csv > zr.csv
	mlr --icsv --ocsv put '$reward = 1' then filter '$user != ""' zb.csv > zbr.csv
	hare-update -m skills.model --feature z -s text.state < zr.csv
	hare-update -m skills.model --feature z -s b64.state < zbr.csv
	cmp <(hare-state dump -s text.state) <(hare-state dump -s b64.state)
	cmp <(hare-pool dump --vec b64 skills.pool | hare-pool build -m skills.model -o c.pool; cat c.pool) skills.pool
}

@test "vectors in brackets and with commas are read" {
	sed '1!s/\(.*\),\(.*\)$/\1,"[\2]"/' x.csv | awk -F'"[[]' 'NR == 1 { print; next } { gsub(/ /, ", ", $2); print $1 "\"[" $2 }' > brackets.csv
	grep -q '"\[-*[0-9.e-]*, ' brackets.csv
	call find x.csv --no-x
	"${argv[@]}" > want
	call find brackets.csv --no-x
	"${argv[@]}" | cmp - want
}

@test "the same bytes for any number of threads, any batch, any order of the records" {
	for c in $filters; do
		in=$(input_of $c)
		{ head -1 $in; for i in $(seq 40); do sed 1d $in; done; } > many.csv
		call $c many.csv --threads 1
		"${argv[@]}" > want
		for option in '--threads 2' '--threads 5' -u '--threads 3 -u'; do
			call $c many.csv $option
			"${argv[@]}" | cmp -s - want || note "$c $option: other bytes"
		done
		call $c - --threads 2
		while IFS= read -r line; do printf '%s\n' "$line"; done < many.csv | "${argv[@]}" | cmp -s - want || note "$c line by line: other bytes"
		{ head -1 many.csv; sed 1d many.csv | tac; } > back.csv
		call $c back.csv
		if [ $c != show ] && [ $c != tell ]; then
			"${argv[@]}" | sed 1d | tac | cmp -s - <(sed 1d want) || note "$c backwards: other bytes"
		fi
	done
	verdict
}

@test "several POOLs act as one, bit for bit, however they are cut" {
	for n in 2 3 7; do
		hare-pool shard -n $n -o part$n skills.pool
		hare-pool merge -o whole$n part$n.*
		pools=()
		for p in part$n.*; do pools+=(-p $p); done
		hare-attend -m skills.model "${pools[@]}" -s team.state x.csv | cmp - z.csv
		hare-decode "${pools[@]}" z.csv | cmp - out.csv
		# as the shell gives them
		hare-attend -m skills.model -s team.state -p part$n.* < x.csv | cmp - z.csv
		hare-attend -m skills.model -s team.state -p part$n.* x.csv | cmp - z.csv
		hare-decode -p part$n.* z.csv | cmp - out.csv
		hare-update -m skills.model -p part$n.* -s shell$n.state r.csv
		cmp <(hare-state dump -s shell$n.state) <(hare-state dump -s team.state)
		hare-attend -m skills.model "${pools[@]}" -s team.state --choose 3 x.csv > some
		hare-attend -m skills.model -p skills.pool -s team.state --choose 3 x.csv | cmp - some
		hare-attend -m skills.model "${pools[@]}" -s team.state -e --text title x.csv > some
		hare-attend -m skills.model -p skills.pool -s team.state -e --text title x.csv | cmp - some
		hare-update -m skills.model "${pools[@]}" -s parts$n.state < r.csv
		cmp <(hare-state dump -s parts$n.state) <(hare-state dump -s team.state)
		hare-attend -m skills.model -p whole$n -s team.state x.csv | cmp - z.csv
		hare-pool dump "${pools[@]}" | cmp - <(hare-pool dump skills.pool)
		cmp <(hare-pool info "${pools[@]}" | grep 'rows\|score_sd\|zero') <(hare-pool info skills.pool | grep 'rows\|score_sd\|zero')
	done
	# grown instead of built at once
	sed -n '1,60p' skills.x.csv | hare-pool build -m skills.model -o grown
	for from in 61 100; do
		{ head -1 skills.x.csv; sed -n "$from,$((from == 61 ? 99 : 999))p" skills.x.csv; } | hare-pool add -m skills.model -p grown
	done
	hare-attend -m skills.model -p grown -s team.state x.csv | cmp - z.csv
	hare-pool merge -o one grown
	cmp one skills.pool
}

@test "what makes a file writes it into a pipe as well, where nothing can be synced: the same bytes" {
	set -o pipefail
	hare-embed fit -q -o /dev/stdout -c title,text skills.csv | cmp - skills.model
	hare-pool build -m skills.model -o /dev/stdout skills.x.csv | cmp - skills.pool
	mkfifo fifo
	timeout 60 cat fifo > got &
	hare-pool merge -o fifo skills.pool
	wait $!
	cmp got skills.pool
	[ -p fifo ]
}

@test "a program that puts a file in place which is not as it was synced is seen by these tests" {
	[ -n "${LD_PRELOAD:-}" ] || skip 'nosync.so is not loaded'
	cat > put.py <<-'END'
	import os, sys
	out = open("temporary", "wb", buffering=0)
	out.write(b"some")
	if sys.argv[1] != "never": os.fsync(out.fileno())
	if sys.argv[1] == "before": out.write(b" more")
	getattr(os, sys.argv[2])("temporary", "place")
	END
	for put in rename link; do
		for when in never before after; do
			rm -f temporary place
			got=0
			(exec -a hare-python /usr/bin/python3 put.py $when $put) 2> "$err" || got=$?
			if [ $when = after ]; then
				[ $got -eq 0 ] && [ -e place ]
			else
				[ $got -ne 0 ] && [ ! -e place ]
				grep -qx 'nosync: place was put in place unsynced' "$err"
			fi
		done
	done
}

@test "every filter answers a record before the next one is written, alone and in a pipe of three" {
	answers_at_once() {
		local rows=$1 lines=$2 what=$3 row k got
		shift 3
		rm -f to from
		mkfifo to from
		"$@" < to > from 2> "$err" 3>&- &
		exec 5> to 6< from
		# the header comes with the first record
		for row in 2 3; do
			if [ $row = 2 ]; then head -2 $rows >&5; else sed -n ${row}p $rows >&5; fi
			[ $row != 2 ] || read -r -t 30 -u 6 got || note "$what: no header"
			for k in $(seq $lines); do read -r -t 30 -u 6 got || { note "$what: no answer to record $row"; break; }; done
		done
		exec 5>&- 6<&-
		wait $! || true
	}
	printf 'user,query\nann,tests for a parser\nbob,write tests\n' > two.q
	hare-embed -m skills.model -c query two.q > two.x
	hare-attend -m skills.model -p skills.pool -s team.state two.x > two.z
	answers_at_once two.q 1 hare-embed hare-embed -m skills.model -c query
	answers_at_once two.x 1 hare-attend hare-attend -m skills.model -p skills.pool -s team.state
	answers_at_once two.x 3 'hare-attend -e' hare-attend -m skills.model -p skills.pool -e -k 3
	answers_at_once two.z 1 hare-decode hare-decode -p skills.pool -w 5
	answers_at_once two.q 1 'the pipe' bash -c 'hare-embed -m skills.model -c query | hare-attend -m skills.model -p skills.pool | hare-decode -p skills.pool -w 5'
	verdict
}

@test "a column that is there already is 65 and named, in every filter; with --overwrite it is replaced" {
	for c in $filters; do
		in=$(input_of $c)
		new=$(new_column $c)
		mlr --csv --quote-original put '$'$new' = "old"' $in > in.csv 2> /dev/null || mlr --csv put '$'$new' = "old"' $in > in.csv
		call $c in.csv
		told 65 "*\"$new\"*" "$c with a column $new"
		call $c in.csv --overwrite
		"${argv[@]}" > "$out" 2> "$err" || note "$c --overwrite: $(cat "$err")"
		[ "$(head -1 "$out" | tr ',' '\n' | grep -cx $new)" -eq 1 ] || note "$c --overwrite: $(head -1 "$out")"
		sed 1d "$out" | grep -q ',old\b' && note "$c --overwrite: the old cells are there"
	done
	verdict
}

@test "--skip-bad leaves bad records out, counts and tells them, in every command; the good ones come out" {
	skips() {
		local name=$1 want=$2
		shift 2
		"$@" > "$out" 2> "$err" || note "$name --skip-bad: status $?, $(cat "$err")"
		grep -q '2 bad rows skipped' "$err" || note "$name --skip-bad: $(cat "$err")"
		[ "$(grep -c '^hare-[a-z]*: bad.csv:[35]: ' "$err")" -eq 2 ] || note "$name --skip-bad: the rows are not told: $(cat "$err")"
		[ "$want" = - ] || [ "$(wc -l < "$out")" -eq "$want" ] || note "$name --skip-bad: $(wc -l < "$out") lines, not $want"
		"$@" -q > "$out" 2> "$err" || true
		[ ! -s "$err" ] || note "$name --skip-bad -q: $(cat "$err")"
	}
	# the second and the fourth of four
	printf 'query\na test\na,b\na test\na,b,c\n' > bad.csv
	skips embed 3 hare-embed --skip-bad -m skills.model -c query bad.csv
	x=$(sed -n 2p x.csv | sed 's/.*,//')
	printf 'id,x\nn1,%s\nn2,nan\nn3,%s\nn4,1 2\n' "$x" "$x" > bad.csv
	skips attend 3 hare-attend --skip-bad -m skills.model -p skills.pool bad.csv
	skips 'attend -e' 5 hare-attend --skip-bad -m skills.model -p skills.pool -e -k 2 bad.csv
	skips build - hare-pool build --skip-bad -m skills.model -o some.pool bad.csv
	hare-pool info some.pool | grep -qx rows,2 || note 'build --skip-bad: not two rows'
	items=$(sed 1d skills.csv | cut -d, -f1 | head -2 | tr '\n' ' ')
	printf 'items,weights\n%s,1 0\nnone such,1 1\n%s,1 1\n%s,x y\n' "${items% }" "${items% }" "${items% }" > bad.csv
	skips decode 3 hare-decode --skip-bad -w 4 -p skills.pool bad.csv
	set -- $items
	printf 'user,item,reward\nann,%s,1\nann,%s,7\nann,%s,1\nann,,1\n' $1 $1 $2 > bad.csv
	hare-update --skip-bad -m skills.model -p skills.pool -s skip.state bad.csv 2> "$err" || note "update --skip-bad: status $?"
	grep -q '2 bad rows skipped' "$err" || note "update --skip-bad: $(cat "$err")"
	hare-state info -s skip.state | grep -qx observations,2 || note 'update --skip-bad: not two observations'
	verdict
}

@test "numbers do not heed the locale" {
	LOCPATH=$BATS_TEST_TMPDIR
	localedef -i de_DE -f UTF-8 "$LOCPATH/de_DE.UTF-8" 2> /dev/null || [ -e "$LOCPATH/de_DE.UTF-8/LC_NUMERIC" ] || skip 'no German locale can be made here'
	# what the C library keeps of LOCPATH is no leak of ours
	export LOCPATH ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0
	export LC_ALL=de_DE.UTF-8 2> /dev/null
	/usr/bin/python3 -c 'import locale; locale.setlocale(locale.LC_ALL, ""); assert locale.localeconv()["decimal_point"] == ","'
	hare-embed -m skills.model -c query q.csv | cmp - x.csv
	hare-attend -m skills.model -p skills.pool -s team.state x.csv | cmp - z.csv
	hare-decode -p skills.pool z.csv | cmp - out.csv
	hare-update -m skills.model -p skills.pool -s de.state < r.csv
	hare-state dump --text -s de.state | cmp - <(LC_ALL=C hare-state dump --text -s team.state)
	hare-embed fit -o de.model -c title,text skills.csv
	cmp de.model skills.model
}

@test "without a known word there is no NaN anywhere: zero vector, a warning, an answer" {
	printf 'user,query\nann,\nnew,zzzz qqqq\n' > none.csv
	hare-embed -m skills.model -c query none.csv > none.x 2> "$err"
	[ "$(wc -l < "$err")" -eq 1 ]
	[[ "$(cat "$err")" == 'hare-embed: 2 of 2 '*'no known word'* ]]
	hare-attend -m skills.model -p skills.pool -s team.state --choose 2 none.x > none.z
	hare-decode -p skills.pool none.z > none.out
	[ "$(grep -ci '\bnan\b\|\binf\b' none.out)" -eq 0 ]
	[ "$(mlr --icsv --ojson cat none.out | jq '[.[] | select(.output != "" and .entropy > 0)] | length')" -eq 2 ]
}

@test "many records pass in bounded memory, in every filter" {
	export ASAN_OPTIONS=${ASAN_OPTIONS:-}:quarantine_size_mb=1        # else what was freed counts
	peak() { /usr/bin/python3 -c '
import resource, subprocess, sys
subprocess.run(sys.argv[2:], stdin=open(sys.argv[1], "rb"), stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$@"; }
	bounded() {
		local name=$1 good=$2 small large
		shift 2
		awk 'NR == 1 { print; next } { row[n++] = $0 } END { for (i = 0; i < 10000; i++) print row[i % n] }' $good > small.csv
		awk 'NR == 1 { print; next } { row[n++] = $0 } END { for (i = 0; i < 150000; i++) print row[i % n] }' $good > large.csv
		small=$(peak small.csv "$@")
		rm -rf new.*
		large=$(peak large.csv "$@")
		rm -rf new.*
		[ $((large - small)) -lt 16384 ] || note "$name: $small kB for 10,000 records, $large kB for 150,000"
	}
	bounded embed good.embed hare-embed -m model
	bounded attend good.attend hare-attend -m model -p pool -s state
	bounded explain good.attend hare-attend -m model -p pool -e -k 2
	bounded decode good.blend hare-decode -p pool -w 5
	printf 'id,user,x,reward\n' > good.many
	printf 'a,ann,1 0 0 0,1\nb,bob,0 1 0 0,0\n' >> good.many
	bounded update good.many hare-update -m model --feature x -s new.state --buffer 4
	verdict
}
