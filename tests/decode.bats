# hare-decode --blend and --prompt in pipes. What is in a blend is claimed in tests/decode.c, endpoints in endpoint.bats.
bats_require_minimum_version 1.5.0
load notes

setup_file() {
	make_notes
	hare-embed fit -o other --min-df 1 -d 5 -c text < notes.csv
	hare-embed -m other -c text < notes.csv | hare-pool build -m other -o q
	printf 'query,items,weights\nhow warm,tea coffee,0.7 0.3\n' > a.csv
}
setup() { cd "$BATS_FILE_TMPDIR"; cp a.csv "$BATS_TEST_TMPDIR"; }

@test "a blend stands in the column output, behind the bytes that came in" {
	printf 'items,note,weights\ntea,"a, ""b""",1\n' > in.csv
	run -0 --separate-stderr hare-decode -p p in.csv
	[ "${lines[0]}" = 'items,note,weights,output' ]
	[ "${lines[1]}" = 'tea,"a, ""b""",1,Green tea wants water of seventy degrees. Let the leaves draw for two minutes.' ]
	[ -z "$stderr" ]
}

@test "the whole pipe: text, attention, answer; the same bytes for one thread and two, one row and many" {
	printf 'query\nhow do I mend my bike\nwhat about bees\nhow do I mend my bike\n' > q.csv
	hare-embed -m m -c query q.csv | hare-attend -m m -p p > z.csv
	hare-decode -p p --threads 1 z.csv > one
	hare-decode -p p --threads 2 z.csv | cmp - one
	# answers may span lines: records are told apart as JSON Lines
	hare-decode -J -p p z.csv > all
	{ head -1 z.csv; sed -n 3p z.csv; } | hare-decode -J -p p > alone
	sed -n 2p all | cmp - alone
	[ "$(sed -n 1p all)" = "$(sed -n 3p all)" ]
	jq -r .output all | head -n 1 | grep -q bike
}

@test "the options of a blend: words, sources, columns; plain for people" {
	run -0 hare-decode -p p --plain --words 8 a.csv
	[ "$output" = 'Green tea wants water of seventy degrees.' ]
	run -0 hare-decode -p p --plain --sources --words 8 a.csv
	[ "$output" = 'Green tea: Green tea wants water of seventy degrees. [tea]' ]
	run -0 hare-decode -p p --plain --text-columns title a.csv
	[ "${lines[0]}" = 'Green tea.' ]
	run -0 hare-decode -p p --plain --title text --sources --words 8 a.csv
	[[ "${lines[0]}" == 'Green tea wants water of seventy degrees. Let the leaves draw for two minutes.: '* ]]
	printf 'items,weights\ntea,1\nbees,1\n' > in.csv
	hare-decode -p p --plain --words 8 in.csv > plain
	printf 'Green tea wants water of seventy degrees.\n\nBees in winter need dry air and silence.\n' | cmp - plain
}

@test "--prompt prints query and items; without a pool the query alone" {
	run -0 hare-decode -p p --prompt --plain a.csv
	[[ "$output" == *"Question: how warm"*"1. Green tea (70 %)"*"seventy degrees."*"2. Filter coffee (30 %)"* ]]
	[[ "$output" != *"known of the person"* ]]
	run -0 hare-decode --prompt a.csv
	[ "${lines[1]}" = 'how warm,tea coffee,0.7 0.3,how warm' ]
}

@test "--template decides what stands where; it needs a place for the query" {
	printf 'Q: {query}\nU: {user}\n{items}\n' > t.txt
	run -0 hare-decode -p p --prompt --plain --template t.txt a.csv
	[ "${lines[0]}" = 'Q: how warm' ]
	[ "${lines[1]}" = 'U: Nothing is known of this person yet.' ]
	[ "${lines[2]}" = '1. Green tea (70 %)' ]
	printf '{items}' > t.txt
	run -65 --separate-stderr hare-decode -p p --prompt --template t.txt a.csv
	[[ "$stderr" == *"t.txt: expected a template with {query}"* ]]
	run -66 hare-decode -p p --prompt --template none.txt a.csv
}

@test "a query over the budget is a bad row; --skip-bad passes it over" {
	{ echo query,items,weights; printf '%02000d,tea,1\nshort,tea,1\n' 7; } > in.csv
	run -65 --separate-stderr hare-decode -p p --prompt --budget 300 in.csv
	[[ "$stderr" == 'hare-decode: in.csv:2: the prompt without items has about '*' tokens, the budget is 300' ]]
	run -0 --separate-stderr hare-decode -p p --prompt --plain --budget 300 --skip-bad in.csv
	[[ "$output" == *"Question: short"* ]]
}

@test "the prompt tells what is known of a person: what they lean to and away from; strangers are told as such" {
	{ echo user,item,reward; for k in 1 2 3; do printf 'ann,bike,1\nann,chain,1\nann,tea,0\nann,coffee,0\n'; done; } > h.csv
	hare-update -m m -s s -p p h.csv
	printf 'user,query,items,weights\nann,how,bike,1\nbob,how,bike,1\nann,how,tea,1\n' > in.csv
	run -0 --separate-stderr hare-decode -p p -s s --prompt -J in.csv
	ann=$(jq -r .output <<< "${lines[0]}") bob=$(jq -r .output <<< "${lines[1]}")
	[[ "$ann" == *"Leans towards: "*"Flat tyre"* ]]
	[[ "$ann" == *"Leans away from: "*"tea"* || "$ann" == *"Leans away from: "*"coffee"* ]]
	[[ "$ann" == *"Learnt from 12 reactions"* ]]
	[[ "$bob" == *"Nothing is known of this person yet."* ]]
	[[ "$(jq -r .output <<< "${lines[2]}")" == *"Learnt from 12 reactions"* ]]
	[ -z "$stderr" ]
}

@test "a state that is not there yet is one line on stderr, silent with -q; a state of another space is refused" {
	printf 'user,query,items,weights\nann,how,bike,1\n' > in.csv
	run -0 --separate-stderr hare-decode -p p -s none --prompt in.csv
	[ "$stderr" = 'hare-decode: none: not there yet: every user is new' ]
	run -0 --separate-stderr hare-decode -p p -s none --prompt -q in.csv
	[ -z "$stderr" ]
	printf 'user,item,reward\nann,bike,1\n' | hare-update -m other -s s2 -p q
	for mode in --blend --prompt; do
		run -65 --separate-stderr hare-decode -p p -s s2 $mode in.csv
		[[ "$stderr" == *s2*p* ]]
		[ "${#stderr_lines[@]}" -eq 1 ]
	done
}

@test "a damaged belief names the user and gives no answer from other numbers" {
	{ echo user,item,reward; for k in 1 2 3; do printf 'ann,bike,1\n'; done; } | hare-update -m m -s s3 -p p
	cp s3 broken
	# every byte of the value: some flips must hit it, none may pass as something else
	at=$(grep -obUa ann s3 | tail -1 | cut -d: -f1)
	for k in 20 60 90; do
		cp s3 broken
		printf '\377' | dd of=broken bs=1 seek=$((at + k)) conv=notrunc status=none
		printf 'user,query,items,weights\nann,how,bike,1\n' | { run hare-decode -p p -s broken --prompt --plain; [ "$status" -eq 65 ] || [ "$status" -eq 0 ]; }
		if [ "$status" -eq 0 ]; then [[ "$output" == *"Learnt from 3 reactions"* ]]; fi
	done
}

@test "bad rows are named by line and column: unknown ids, too few weights, no numbers, less than nothing" {
	while IFS='|' read -r row words; do
		printf 'items,weights\ntea,1\n%s\n' "$row" > in.csv
		run -65 --separate-stderr hare-decode -p p in.csv
		[[ "$stderr" == "hare-decode: in.csv:3: column $words"* ]]
		[ "${#lines[@]}" -eq 2 ]
		[ "${#stderr_lines[@]}" -eq 1 ]
		run -0 --separate-stderr hare-decode -p p --skip-bad in.csv
		[ "${#lines[@]}" -eq 2 ]
	done <<'LIST'
tea cocoa,1 1|items: expected ids of p, got "cocoa"
tea coffee,1|weights: expected 2 weights
tea,1 1|weights: expected 1 weights
tea,much|weights: 
tea,nan|weights: 
tea,-1|weights: expected weights of at least 0, got -1
LIST
}

@test "no items give an empty answer" {
	printf 'items,weights\n,\n' > in.csv
	run -0 hare-decode -p p in.csv
	[ "${lines[1]}" = ',,' ]
}

@test "missing columns, no pool, wrong options: one line and the right status" {
	printf 'id,things\n1,2\n' > in.csv
	run -65 --separate-stderr hare-decode -p p in.csv
	[[ "$stderr" == *items*"id, things"* ]]
	run -65 --separate-stderr hare-decode -p p --prompt a.csv --col query=question
	[[ "$stderr" == *question* ]]
	run -64 hare-decode a.csv
	run -64 hare-decode -p p --blend --prompt a.csv
	run -64 hare-decode -p p --words few a.csv
	run -64 hare-decode -p p --words 12345678901234567890 a.csv
	run -64 hare-decode -p p --prompt --budget 4611686018427387904 a.csv
	run -64 --separate-stderr hare-decode -p p --text-columns body a.csv
	[[ "$stderr" == *'no column "body" in the pool: the columns are title, text'* ]]
	run -65 --separate-stderr hare-decode -p p --col items=query a.csv
	run -65 --separate-stderr hare-decode -p p a.csv a.csv --overwrite --col output=zzz,query=nope --prompt
}

@test "a clash with a column output is refused, or replaced with --overwrite" {
	printf 'output,items,weights\nold,tea,1\n' > in.csv
	run -65 hare-decode -p p in.csv
	run -0 hare-decode -p p --overwrite --words 8 in.csv
	[ "${lines[0]}" = 'items,weights,output' ]
	[ "${lines[1]}" = 'tea,1,Green tea wants water of seventy degrees.' ]
}

@test "inputs and files that are none: each its own status" {
	run -65 --separate-stderr hare-decode -p p /dev/null
	[[ "$stderr" == *"empty input"* ]]
	run -66 hare-decode -p p none.csv
	run -66 hare-decode -p p .
	run -66 hare-decode -p none a.csv
	run -65 hare-decode -p m a.csv
	run -65 --separate-stderr hare-decode -p p -p q a.csv
	head -c 3000 p > cut
	run -65 hare-decode -p cut a.csv
	run -0 hare-decode -p p <(printf 'items,weights\n')
	[ "$output" = 'items,weights,output' ]
	run -65 hare-decode -p p <(printf 'items,weights\ntea,1,2\n')
	run -65 hare-decode -p p <(printf 'items,weights\n"tea,1\n')
	run -0 hare-decode -p p --words 8 <(printf '\357\273\277items,weights\r\ntea,1\r\n')
	[ "${lines[1]}" = 'tea,1,Green tea wants water of seventy degrees.' ]
}

@test "a cell of a megabyte goes through, as query and as note" {
	{ printf 'query,items,weights\n'; head -c 1048576 /dev/zero | tr '\0' x; printf ',tea,1\n'; } > big.csv
	hare-decode -p p big.csv > out.csv
	[ "$(wc -c < out.csv)" -gt 1048576 ]
	[ "$(tail -c 30 out.csv)" = "t the leaves draw for two minutes." ] || [[ "$(tail -c 40 out.csv)" == *"draw for two minutes."* ]]
}

@test "texts with quotes and line ends read back from CSV, TSV and JSON alike" {
	printf 'items,weights\nsoup tea,0.5 0.5\n' > in.csv
	json=$(hare-decode -p p -J in.csv | jq -r .output)
	[[ "$json" == *'and "patience".'* ]]
	[ "$(hare-decode -p p in.csv | mlr --icsv --onidx cut -f output)" = "$json" ]
	printf 'items\tweights\nsoup tea\t0.5 0.5\n' > in.tsv
	[ "$(hare-decode -p p -T in.tsv | mlr --itsv --onidx cut -f output)" = "$json" ]
}

@test "the answer to a row comes out while the input is still open" {
	mkfifo in
	hare-decode -p p < in > live 3>&- &
	exec 7> in
	printf 'items,weights\ntea,1\n' >&7
	for _ in $(seq 100); do [ "$(wc -l < live)" -eq 2 ] && break; sleep .05; done
	run -0 cat live
	exec 7>&-
	wait
	[ "${#lines[@]}" -eq 2 ]
}

@test "a full disk is 74, a closed pipe is quiet" {
	run -74 sh -c 'hare-decode -p p a.csv > /dev/full'
	run -74 sh -c 'hare-decode -p p --plain a.csv > /dev/full'
	{ echo items,weights; yes tea,1 | head -20000; } > many.csv
	run -0 bash -c 'hare-decode -p p many.csv 2> err | head -1; [ ! -s err ]'
}
