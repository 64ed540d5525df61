bats_require_minimum_version 1.5.0

setup_file() {
	# one run is enough for all that is said about the shipped pools
	status=0
	"$BATS_TEST_DIRNAME/../scripts/demo" --keep "$BATS_FILE_TMPDIR/kept" \
	    > "$BATS_FILE_TMPDIR/out" 2> "$BATS_FILE_TMPDIR/err" || status=$?
	echo "$status" > "$BATS_FILE_TMPDIR/status"
}

setup() {
	cd "$BATS_TEST_TMPDIR"
	demo=$BATS_TEST_DIRNAME/../scripts/demo
	debian_pool=$BATS_TEST_DIRNAME/../scripts/debian-pool
	kept=$BATS_FILE_TMPDIR/kept
	out=$BATS_FILE_TMPDIR/out
}

# python FILE...: reads a program on stdin; the first thing it has is rows(FILE), a list of dicts
python() {
	{
		echo 'import csv, sys'
		echo 'csv.field_size_limit(10**9)'
		echo 'rows = lambda f: list(csv.DictReader(open(f, newline="", encoding="utf-8")))'
		cat
	} > program.py
	PYTHONPATH=$BATS_TEST_DIRNAME /usr/bin/python3 -B program.py "$@"
}

@test "the demo runs to its end, and is silent on stderr" {
	[ "$(cat "$BATS_FILE_TMPDIR/status")" -eq 0 ]
	[ ! -s "$BATS_FILE_TMPDIR/err" ]
	grep -q 'Try it on your own' "$out"
}

@test "the demo fits 80 columns and uses no colour in a pipe" {
	run ! grep -q "$(printf '\033')" "$out"
	# the last line names the folder, which may be longer
	[ "$(grep -v '^The files of this run' "$out" | LC_ALL=C.UTF-8 awk '{ gsub(/[\200-\277]/, "") } length > 80' | wc -l)" -eq 0 ]
}

@test "the demo shows the commands that it runs" {
	grep -q '^\$ hare-embed fit -o skills.model' "$out"
	grep -q '^\$ hare-update .* history.csv' "$out"
	for program in hare-pool hare-attend hare-decode; do
		grep -q "^    $program " "$out"
	done
}

@test "its pools are well made: enough skills in enough areas, all different, ids without blanks" {
	python "$BATS_TEST_DIRNAME/data/skills.csv" "$BATS_TEST_DIRNAME/data/courses.csv" <<-'END'
	import re
	skills, courses = rows(sys.argv[1]), rows(sys.argv[2])
	assert list(skills[0]) == ['id', 'title', 'category', 'description', 'trigger', 'instructions']
	assert len(skills) >= 120 and len({r['category'] for r in skills}) >= 8
	assert len(courses) >= 60 and len({r['department'] for r in courses}) >= 8
	for table in skills, courses:
	    for column in 'id', 'title', 'description':
	        assert len({r[column] for r in table}) == len(table), column
	    assert all(re.fullmatch(r'[a-z0-9-]+', r['id']) for r in table)
	    assert all(all(v and v.strip() == v for v in r.values()) for r in table)
	known = {r['id'] for r in courses}
	assert all(p in known for r in courses if r['prerequisites'] != 'none' for p in r['prerequisites'].split())
	END
}

@test "five people with twenty interactions each, liked and disliked, learnt by hare-update" {
	python "$kept/history.csv" "$kept/skills.csv" <<-'END'
	known = {r['id'] for r in rows(sys.argv[2])}
	seen = {}
	for r in rows(sys.argv[1]):
	    assert r['item'] in known
	    seen.setdefault(r['user'], []).append(r['reward'])
	assert len(seen) == 5
	assert all(len(v) == 20 and set(v) == {'0', '1'} for v in seen.values())
	END
	cp "$kept/team.state" again.state
	cd "$kept"
	# that file has been learnt: once more changes nothing
	hare-update -m skills.model -p skills.pool -s "$BATS_TEST_TMPDIR/again.state" history.csv
	hare-embed -m skills.model -c query ask.csv |
	    hare-attend -m skills.model -p skills.pool -s "$BATS_TEST_TMPDIR/again.state" |
	    hare-decode -p skills.pool -s "$BATS_TEST_TMPDIR/again.state" --words 70 | cmp - answers.csv
}

@test "the same question has another heaviest item for each of the five" {
	python "$kept/answers.csv" <<-'END'
	a = rows(sys.argv[1])
	assert [r['user'] for r in a] == ['newcomer', 'sam', 'dana', 'fiona', 'tom', 'olga']
	assert {r['query'] for r in a} == {'I need help writing tests'}
	assert len({r['items'].split()[0] for r in a[1:]}) == 5
	END
}

@test "each of the five attends mostly to skills of their own area" {
	python "$kept/answers.csv" "$kept/skills.csv" <<-'END'
	area = {r['id']: r['category'] for r in rows(sys.argv[2])}
	own = {'sam': 'security', 'dana': 'data', 'fiona': 'frontend', 'tom': 'teaching', 'olga': 'operations'}
	for r in rows(sys.argv[1])[1:]:
	    share = sum(float(w) for i, w in zip(r['items'].split(), r['weights'].split()) if area[i] == own[r['user']])
	    assert share > 0.5, (r['user'], share)
	END
}

@test "who is known is narrower and surer than a newcomer; the newcomer draws on several areas" {
	python "$kept/answers.csv" "$kept/skills.csv" <<-'END'
	area = {r['id']: r['category'] for r in rows(sys.argv[2])}
	new, *known = rows(sys.argv[1])
	for r in known:
	    assert float(r['entropy']) < float(new['entropy']), r['user']
	    assert float(r['uncertainty']) < float(new['uncertainty']), r['user']
	assert len({area[i] for i in new['items'].split()[:5]}) >= 3
	END
}

@test "the answers differ, and so does what was attended to" {
	python "$kept/answers.csv" <<-'END'
	import math
	known = rows(sys.argv[1])[1:]
	assert len({r['output'] for r in known}) == 5 and all(r['output'].strip() for r in known)
	z = [[float(v) for v in r['z'].split()] for r in known]
	dot = lambda a, b: sum(x * y for x, y in zip(a, b))
	for i in range(5):
	    for j in range(i):
	        assert 1 - dot(z[i], z[j]) / math.sqrt(dot(z[i], z[i]) * dot(z[j], z[j])) > 0.2
	END
}

@test "what the demo prints of entropy is what the answers say" {
	python "$kept/answers.csv" "$out" <<-'END'
	text = open(sys.argv[2], encoding='utf-8').read()
	for r in rows(sys.argv[1]):
	    assert any(l.split()[:2] == [r['user'], '%.2f' % float(r['entropy'])] for l in text.splitlines()), r['user']
	END
}

@test "the small decoder writes for each of the six: whole sentences, most of their words from what was attended to, and unlike one another" {
	python "$kept/written.csv" "$kept/skills.csv" <<-'END'
	import re
	from rouge import rouge_l, words
	skills = {r['id']: ' '.join(r.values()) for r in rows(sys.argv[2])}
	a = rows(sys.argv[1])
	assert [r['user'] for r in a] == ['newcomer', 'sam', 'dana', 'fiona', 'tom', 'olga']
	for r in a:
	    assert re.search(r'[.!?]$', r['output']) and len(words(r['output'])) > 8, r
	    known = set(words(r['query'] + ' ' + ' '.join(skills[i] for i in r['items'].split()[:3])))
	    strange = [w for w in words(r['output']) if w not in known]
	    assert len(strange) <= .2 * len(words(r['output'])), strange
	five = [words(r['output']) for r in a[1:]]
	pairs = [rouge_l(five[i], five[j]) for i in range(5) for j in range(i)]
	assert sum(pairs) / len(pairs) < .6, pairs
	END
}

@test "the students' plans differ too, and are narrower than a newcomer's" {
	python "$kept/plans.csv" <<-'END'
	new, *known = rows(sys.argv[1])
	assert len(known) == 3
	assert len({r['items'].split()[0] for r in known}) == 3
	assert all(float(r['entropy']) < float(new['entropy']) for r in known)
	assert len({r['output'] for r in known}) == 3
	END
}

@test "a second run gives the same answers, byte for byte" {
	run -0 "$demo" --keep again
	cmp again/answers.csv "$kept/answers.csv"
	cmp again/plans.csv "$kept/plans.csv"
}

@test "--pool takes a file of one's own, without ids, with quotes and lines in cells, packed or not" {
	cut_ids='w = csv.writer(sys.stdout, lineterminator="\r\n"); w.writerow(["name", "what for"])
for r in rows(sys.argv[1]): w.writerow([r["title"], r["description"] + "\n\"" + r["instructions"] + "\""])'
	printf '%s\n' "$cut_ids" | python "$BATS_TEST_DIRNAME/data/skills.csv" > own.csv
	run -0 --separate-stderr "$demo" --pool own.csv --query 'How do I "test" a page?' --keep kept
	[ -z "$stderr" ]
	[[ "$output" == *'rows are called r1'* ]]
	[[ "$output" == *'newcomer'* ]]
	python kept/answers.csv <<-'END'
	a = rows(sys.argv[1])
	assert len(a) == 4 and {r['query'] for r in a} == {'How do I "test" a page?'}
	assert len({r['items'].split()[0] for r in a[1:]}) > 1
	END
	gzip own.csv
	run -0 "$demo" --pool=own.csv.gz --query='How do I "test" a page?' --keep=kept2
	cmp kept/answers.csv kept2/answers.csv
}

@test "--pool keeps ids, -c chooses columns, --history tells what people liked" {
	printf 'user,item,reward\nzoe,dark-mode,1\nzoe,design-tokens,1\nzoe,load-tests,0\n' > h.csv
	run -0 "$demo" --pool "$BATS_TEST_DIRNAME/data/skills.csv" -c title,description --history h.csv \
	    --query 'tests for colours' --keep kept
	[[ "$output" == *'-c title,description'* ]]
	python kept/answers.csv <<-'END'
	a = rows(sys.argv[1])
	assert [r['user'] for r in a] == ['newcomer', 'zoe']
	assert 'r1' not in a[0]['items'].split()
	END
}

@test "wrong options of the demo end with 64 and a line, missing files with 66" {
	for wrong in --nonsense '--pool x.csv' '--query q' --keep '-c title' 'operand'; do
		run -64 --separate-stderr "$demo" $wrong
		[ -z "$output" ]
		[ -n "$stderr" ]
	done
	run -66 --separate-stderr "$demo" --pool nowhere.csv --query q
	[[ "$stderr" == *nowhere.csv* ]]
	run -66 "$demo" --pool . --query q
	mkdir full && touch full/there
	run -64 --separate-stderr "$demo" --keep full
	[[ "$stderr" == *'not empty'* ]]
	[ "$(ls full)" = there ]
	run -0 "$demo" --help
	[[ "$output" == *--pool* ]]
}

@test "the demo works without HOME and from another folder, and leaves nothing behind" {
	mkdir tmp
	run -0 env -u HOME TMPDIR="$PWD/tmp" "$demo" --pool "$BATS_TEST_DIRNAME/data/courses.csv" --query 'statistics of sport' < /dev/null
	[ -z "$(ls -A tmp)" ]
}

@test "a reader who leaves early ends the demo in silence, and nothing is left behind" {
	mkdir tmp
	TMPDIR="$PWD/tmp" "$demo" --pool "$BATS_TEST_DIRNAME/data/courses.csv" --query 'statistics of sport' 2> err < /dev/null | head -n 2
	[ ! -s err ]
	[ -z "$(ls -A tmp)" ]
}

@test "debian-pool makes CSV of package stanzas: long texts on one line, the first of a name counts" {
	run -0 --separate-stderr "$debian_pool" "$BATS_TEST_DIRNAME/data/packages.sample"
	[ "${lines[0]}" = id,title,text ]
	[ "${lines[1]}" = 'teapot,"brews tea, ""properly"", on a schedule","Teapot heats water with a kettle and steeps leaves for as long as the kind of tea asks for. Green, black and white tea are known; say ""stop"" to interrupt. * a list item, indented"' ]
	[ "${lines[2]}" = 'kettle,boils water,Kettle boils water and whistles. It stops by itself.' ]
	[ "${lines[3]}" = 'libcup-dev,"cups, headers","cups, headers"' ]
	[ "${#lines[@]}" -eq 5 ]
	[[ "$stderr" == *'2 of 4 packages have no long description'* ]]
}

@test "debian-pool reads stdin, packed files and CRLF alike" {
	"$debian_pool" "$BATS_TEST_DIRNAME/data/packages.sample" > plain.csv 2> /dev/null
	"$debian_pool" - < "$BATS_TEST_DIRNAME/data/packages.sample" > stdin.csv 2> /dev/null
	gzip < "$BATS_TEST_DIRNAME/data/packages.sample" > Packages.gz
	"$debian_pool" Packages.gz > gz.csv 2> /dev/null
	sed 's/$/\r/' "$BATS_TEST_DIRNAME/data/packages.sample" > crlf
	"$debian_pool" crlf > crlf.csv 2> /dev/null
	cmp plain.csv stdin.csv
	cmp plain.csv gz.csv
	cmp plain.csv crlf.csv
}

@test "debian-pool says what is wrong: no file 66, no package 65, a wrong option 64" {
	run -66 --separate-stderr "$debian_pool" nowhere
	[[ "$stderr" == *nowhere* ]]
	printf 'hello\n' > none
	run -65 --separate-stderr "$debian_pool" none
	[[ "$stderr" == *'no package'* ]]
	run -64 "$debian_pool" --nonsense
}

@test "install-deps has nothing to do where everything is there, and says so by silence" {
	run -0 --separate-stderr "$BATS_TEST_DIRNAME/../scripts/install-deps" check
	[ -z "$output$stderr" ]
	run -64 "$BATS_TEST_DIRNAME/../scripts/install-deps" nonsense
}

@test "install-deps names the packages on three systems when it cannot install them" {
	# a PATH without compiler, apt-get and sudo
	mkdir bin
	for tool in sh env id awk sed tr cat; do
		ln -s "$(command -v "$tool")" bin/
	done
	run -69 --separate-stderr env PATH="$PWD/bin" sh "$BATS_TEST_DIRNAME/../scripts/install-deps"
	[[ "$stderr" == *'apt-get install gcc make pkg-config libc6-dev libopenblas-dev'* ]]
	[[ "$stderr" == *'dnf install'*'openblas-devel'* ]]
	[[ "$stderr" == *'brew install'*'openblas'* ]]
}
