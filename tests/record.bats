#!/usr/bin/env bats
# Records in pipes, through hare-embed: what every filter does with its input and output
bats_require_minimum_version 1.5.0

setup_file() {
	cd "$BATS_FILE_TMPDIR"
	hare-embed fit -q -d 4 -o m -c title,description "$BATS_TEST_DIRNAME/data/skills.csv"
	printf 'id,query\n1,how do I test this\n2,deploy a service\n3,write unit tests\n' > q.csv
	hare-embed -m m -c query q.csv > x.csv
}

setup() {
	cd "$BATS_TEST_TMPDIR"
	m=$BATS_FILE_TMPDIR/m q=$BATS_FILE_TMPDIR/q.csv x=$BATS_FILE_TMPDIR/x.csv
	export HARE_MODEL=$m
}

@test "cells with quotes, blanks, commas, newlines and NUL pass byte for byte" {
	printf 'id, note ,query\n" 1 ","a, ""b""\r\nc",test\n\0,"\0",  test  \n' > in.csv
	hare-embed -c query in.csv > out.csv
	# what was added is cut off again: the new cells of numbers and blanks alone
	LC_ALL=C sed 's/,[-0-9e. ]*$//; 1s/,x$//' out.csv > back.csv
	cmp in.csv back.csv
}

@test "a byte order mark, CRLF and a last line without end give the same bytes as plain lines" {
	printf '\357\273\277id,query\r\n1,how do I test this\r\n2,deploy a service\r\n3,write unit tests' > in.csv
	hare-embed -c query in.csv | cmp - "$x"
}

@test "gzip is read from a file and from a pipe, and a cut one is told" {
	gzip -k < "$q" > in.csv.gz
	hare-embed -c query in.csv.gz | cmp - "$x"
	hare-embed -c query < in.csv.gz | cmp - "$x"
	cat in.csv.gz | hare-embed -c query - | cmp - "$x"
	head -c 50 in.csv.gz > cut.csv.gz
	run -65 --separate-stderr hare-embed -c query cut.csv.gz
	[[ "$stderr" == 'hare-embed: cut.csv.gz: '* ]]
}

@test "a row is answered before the next one is written" {
	mkfifo to from
	hare-embed -c query < to > from &
	exec 5> to 6< from
	printf 'query\nhow do I test this\n"deploy' >&5
	read -t 20 -r header <&6
	read -t 20 -r first <&6
	[ "$header" = query,x ]
	[[ "$first" == 'how do I test this,'* ]]
	printf ' it"\n' >&5
	read -t 20 -r second <&6
	[[ "$second" == '"deploy it",'* ]]
	exec 5>&-
	wait $!
}

@test "the same bytes, however the input arrives and whatever -u and the number of threads" {
	{ echo query; for i in $(seq 500); do echo "test number $i of the service"; done; } > in.csv
	hare-embed -c query in.csv > one
	hare-embed -u --threads 1 -c query in.csv | cmp - one
	dd status=none bs=7 if=in.csv | hare-embed --threads 2 -c query | cmp - one
}

@test "a reader that has seen enough ends the filter quietly" {
	{ echo query; yes 'how do I test this' | head -n 100000; } > in.csv
	set +o pipefail
	hare-embed -c query in.csv 2> err | head -n 1 > out
	[ "${PIPESTATUS[0]}" -eq 141 ]
	[ ! -s err ]
	[ "$(cat out)" = query,x ]
}

@test "a full disk is exit 74 and one line" {
	run -74 --separate-stderr sh -c "hare-embed -c query '$q' > /dev/full"
	[ "$stderr" = 'hare-embed: stdout: No space left on device' ]
}

@test "a closed stdin or stdout is an error, not silence" {
	run -74 --separate-stderr sh -c "hare-embed -c query <&-"
	[[ "$stderr" == 'hare-embed: stdin: '* ]]
	run -74 --separate-stderr sh -c "hare-embed -c query '$q' >&-"
	[[ "$stderr" == 'hare-embed: stdout: '* ]]
}

@test "a missing column is told with those that are there" {
	run -65 --separate-stderr hare-embed -c question "$q"
	[ "$stderr" = "hare-embed: $q: no column \"question\": the columns are id, query" ]
	[ -z "$output" ]
}

@test "an empty input is an error, a header alone is not" {
	run -65 --separate-stderr hare-embed -c query /dev/null
	[ "$stderr" = 'hare-embed: /dev/null: empty input: expected a header line' ]
	run -0 --separate-stderr sh -c 'echo id,query | hare-embed -c query'
	[ "$output" = id,query,x ]
	[ -z "$stderr" ]
}

@test "a file that is not there, or is a folder, is exit 66" {
	run -66 --separate-stderr hare-embed -c query nowhere.csv
	[ "$stderr" = 'hare-embed: nowhere.csv: No such file or directory' ]
	run -66 hare-embed -c query "$q" nowhere.csv
	run -66 hare-embed -c query .
}

@test "a file that may not be read is exit 77" {
	[ "$(id -u)" -ne 0 ] || skip "root may read everything"
	cp "$q" locked.csv
	chmod 0 locked.csv
	run -77 --separate-stderr hare-embed -c query locked.csv
	[ "$stderr" = 'hare-embed: locked.csv: Permission denied' ]
}

@test "a bad row stops the run; rows before it are out" {
	printf 'id,query\n1,test\n2\n3,test\n' > in.csv
	run -65 --separate-stderr hare-embed -c query in.csv
	[ "${#lines[@]}" -eq 2 ]
	[ "$stderr" = 'hare-embed: in.csv:3: expected 2 columns, got 1' ]
	printf 'id,query\n1,test\n2,"test\n3,test\n' > in.csv
	run -65 --separate-stderr hare-embed -c query in.csv
	[ "$stderr" = 'hare-embed: in.csv:3: a quote opened in this row is never closed' ]
}

@test "--skip-bad tells the first bad rows and counts all" {
	{ printf 'id,query\n1,test\n'; yes 2 | head -n 12; printf '3,"te"st\n4,test\n'; } > in.csv
	run -0 --separate-stderr hare-embed --skip-bad -c query in.csv
	[ "${#lines[@]}" -eq 3 ]
	[[ "${lines[2]}" == 4,test,* ]]
	[ "${stderr_lines[0]}" = 'hare-embed: in.csv:3: expected 2 columns, got 1' ]
	[ "${#stderr_lines[@]}" -eq 11 ]
	[ "${stderr_lines[10]}" = 'hare-embed: 13 bad rows skipped; the first of them are told above' ]
	run -0 --separate-stderr hare-embed -q --skip-bad -c query in.csv
	[ -z "$stderr" ]
}

@test "several files are read as one; another header names both files" {
	printf 'id,query\n4,test' > more.csv
	hare-embed -c query "$q" more.csv > out
	[ "$(wc -l < out)" -eq 5 ]
	printf 'id,question\n4,test\n' > other.csv
	run -65 --separate-stderr hare-embed -c query "$q" other.csv
	[ "$stderr" = "hare-embed: other.csv: column 2 is \"question\", but in $q \"query\": files of one run need the same header" ]
}

@test "a new column replaces an old one only if asked to" {
	run -65 --separate-stderr hare-embed -c query "$x"
	[[ "$stderr" == "hare-embed: $x: there is a column \"x\" already"* ]]
	hare-embed --overwrite -c query "$x" | cmp - "$x"
}

@test "--col gives roles the names that a file has" {
	hare-embed --col x=vec -c query "$q" > out
	[ "$(head -n 1 out)" = id,query,vec ]
	run -64 --separate-stderr hare-embed --col vector=vec -c query "$q"
	[[ "$stderr" == *'no role is called "vector"'* ]]
	[ -z "$output" ]
}

@test "TSV in and out, for sort and cut" {
	printf 'id\tquery\n2\ttwo\\nlines\n1\ta "quoted", word\n' > in.tsv
	hare-embed -q -T -c query in.tsv > out.tsv
	[ "$(wc -l < out.tsv)" -eq 3 ]
	cut -f 1,2 out.tsv | cmp - in.tsv
	printf 'id\tquery\n1\t\\x\n' > bad.tsv
	run -65 --separate-stderr hare-embed -T -c query bad.tsv
	[[ "$stderr" == 'hare-embed: bad.tsv:2: column query: expected '* ]]
}

@test "JSON Lines for jq: cells are strings, vectors are arrays" {
	hare-embed -J -c query "$q" > out.json
	[ "$(jq -r '.query' out.json | sed -n 2p)" = 'deploy a service' ]
	[ "$(jq -c '[(.x | length), (.x[0] | type), (.id | type)]' out.json | uniq)" = '[4,"number","string"]' ]
	printf 'query\n\377\n' > bad.csv
	run -65 --separate-stderr hare-embed -q -J -c query bad.csv
	[ "$stderr" = 'hare-embed: bad.csv:2: column query: bytes that are not UTF-8, which JSON needs' ]
}

@test "pandas reads what is written, as text and as base64, to the same bits" {
	hare-embed --vec b64 -c query "$q" > b64.csv
	/usr/bin/python3 - "$x" b64.csv <<-'END'
	import base64, sys
	import numpy as np, pandas
	text, packed = (pandas.read_csv(name) for name in sys.argv[1:])
	for t, b in zip(text["x"], packed["x"]):
	    assert b.startswith("f32:")
	    floats = np.array(t.split(" "), dtype=np.float32)
	    assert len(floats) == 4 and floats.tobytes() == base64.b64decode(b[4:])
	END
}

@test "SIGUSR1 asks for a line of progress and disturbs nothing" {
	mkfifo to
	hare-embed -c query < to > out 2> err &
	pid=$!
	exec 5> to
	printf 'query\nhow do I test this\n' >&5
	while [ "$(wc -l < out)" -lt 2 ]; do sleep .05; done
	kill -USR1 $pid
	while [ ! -s err ]; do sleep .05; done
	printf 'deploy a service\n' >&5
	exec 5>&-
	wait $pid
	[[ "$(cat err)" == 'hare-embed: 1 row, '* ]]
	[ "$(wc -l < out)" -eq 3 ]
}

@test "a cell of a megabyte passes" {
	{ printf 'id,query\n1,"'; yes 'how do I test ""this"", then' | head -c 1000000; printf '"\n2,test\n'; } > in.csv
	hare-embed -c query in.csv > out.csv
	[ "$(tail -n 1 out.csv | cut -d, -f 1,2)" = 2,test ]
	[ "$(head -c 1000000 out.csv | tail -c 900000 | cksum)" = "$(head -c 999998 in.csv | tail -c 900000 | cksum)" ]
}
