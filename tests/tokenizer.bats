bats_require_minimum_version 1.5.0

setup_file() {
	cd "$BATS_FILE_TMPDIR"
	data="$BATS_TEST_DIRNAME/data"
	hare-train tokenizer -o t -c title,description --tokens 500 --vocab j "$data/skills.csv"
}
setup() {
	cd "$BATS_TEST_TMPDIR"
	t="$BATS_FILE_TMPDIR/t"; j="$BATS_FILE_TMPDIR/j"
	data="$BATS_TEST_DIRNAME/data"
}

@test "tokenizer: a run that goes well says nothing, and the same texts give the same bytes" {
	run --separate-stderr hare-train tokenizer -o again -c title,description --tokens 500 "$data/skills.csv"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	[ -z "$stderr" ]
	cmp again "$t"
}
@test "tokenizer: the most frequent pair is merged first, and what cannot be had is said" {
	printf 'text\nab ab ab abc\n' | { run --separate-stderr -0 hare-train tokenizer -o t --vocab j; [[ "$stderr" == *"263 tokens, not 8192"* ]]; }
	printf 'text\nab ab ab abc\n' | { run --separate-stderr -0 hare-train tokenizer -q -o t; [ -z "$stderr" ]; }
	[ "$(sed -n 2p j/merges.txt)" = "a b" ]
	run -0 hare-train encode -m t <<< $'text\nab ab abc'
	[ "${lines[1]}" = "ab ab abc,261 262 262 104,4" ]
}
@test "tokenizer: wrong numbers of tokens, no column, no text, no input, no place to write" {
	run -64 --separate-stderr hare-train tokenizer -o t --tokens 260 "$data/skills.csv"
	[[ "$stderr" == *"--tokens: expected 261 to"*"got 260"* ]]
	run -64 --separate-stderr hare-train tokenizer "$data/skills.csv"
	[[ "$stderr" == *"-o TOKENIZER is missing"* ]]
	run -65 --separate-stderr hare-train tokenizer -o t -c nothing "$data/skills.csv"
	[[ "$stderr" == *"nothing"*"title"* ]]
	run -65 --separate-stderr hare-train tokenizer -o t <<< text
	[[ "$stderr" == *"no text to learn from"* ]]
	run -65 --separate-stderr hare-train tokenizer -o t < /dev/null
	run -66 --separate-stderr hare-train tokenizer -o t missing.csv
	run -66 --separate-stderr hare-train tokenizer -o no/folder/t "$data/skills.csv"
	[[ "$stderr" == *"no/folder"* ]]
	run -66 --separate-stderr hare-train tokenizer -o t -c title -q --vocab no/folder "$data/skills.csv"
	[[ "$stderr" == *"no/folder"* ]]
	[ ! -e t ]
}
@test "encode: tokens and their number; --reverse gives the texts back" {
	hare-train encode -m "$t" -c title "$data/skills.csv" > tokens.csv
	[ "$(head -n 1 tokens.csv)" = "$(head -n 1 "$data/skills.csv"),tokens,n_tokens" ]
	hare-train encode --reverse -m "$t" -o again tokens.csv > back.csv
	mlr --icsv --ojson cut -f title back.csv > want
	mlr --icsv --ojson cut -f again then rename again,title back.csv > got
	cmp want got
	mlr --icsv --ojson put -q 'if (splitax($tokens, " ")[$n_tokens] == "" || strlen($tokens) == 0) { emit $* }' tokens.csv > bad
	[ "$(tr -d '[]\n ' < bad)" = "" ]
}
@test "encode: a folder with vocab.json and merges.txt is the same vocabulary" {
	hare-train encode -m "$t" -c title "$data/skills.csv" > a
	hare-train encode -m "$j" -c title "$data/skills.csv" > b
	cmp a b
}
@test "encode: several columns are joined by line ends; an empty text has no tokens; -o names the column" {
	run -0 hare-train encode -m "$t" -c a,b -o ids <<< $'a,b\nx,y'
	[ "${lines[0]}" = "a,b,ids,n_tokens" ]
	[ "${lines[1]}" = "x,y,125 15 126,3" ]
	run -0 hare-train encode -m "$t" <<< $'text,k\n,1'
	[ "${lines[1]}" = ",1,,0" ]
	run -0 hare-train encode -J -m "$t" <<< $'text\nx'
	[ "$output" = '{"text":"x","tokens":["125"],"n_tokens":1}' ]
}
@test "encode: bytes that are no UTF-8 are tokens, and come back" {
	printf 'text\na\xff\xfe b\xe4\n' > bad.csv
	hare-train encode -m "$t" bad.csv > tokens.csv
	hare-train encode -r -m "$t" -o back tokens.csv | tail -n 1 | cut -d, -f4 > back
	printf 'a\xff\xfe b\xe4\n' | cmp - back
}
@test "encode: special tokens come of no text and give none" {
	hare-train encode -m "$t" <<< $'text\n<|endoftext|>' | tail -n 1 > line
	[[ "$(cat line)" == "<|endoftext|>,65 "* ]]
	run -0 hare-train encode -r -m "$t" <<< $'tokens\n1 125 2 125 0'
	[ "${lines[1]}" = "1 125 2 125 0,xx" ]
}
@test "encode --reverse: what is no list of tokens is named by line and column" {
	for bad in 'x' '1  2' '1,' '500' '99999999999999999999' '-1' '1.5' ' 1' '1 '; do
		printf 'tokens\n125\n"%s"\n' "$bad" > bad.csv
		run -65 --separate-stderr hare-train encode -r -m "$t" bad.csv
		[[ "$stderr" == *"bad.csv:3: column tokens: expected tokens 0 to 499"* ]] || { echo "$bad: $stderr"; false; }
	done
	printf 'tokens\nx\n125\n' > bad.csv
	run -0 --separate-stderr hare-train encode -r --skip-bad -m "$t" bad.csv
	[[ "$output" == $'tokens,text\n125,x' ]]
	run -64 --separate-stderr hare-train encode -r -c a,b -m "$t" <<< $'a,b\n1,2'
}
@test "encode: what is no vocabulary, or one that is damaged, is named" {
	run -64 --separate-stderr hare-train encode "$data/skills.csv"
	[[ "$stderr" == *"-m TOKENIZER is missing"* ]]
	run -66 --separate-stderr hare-train encode -m missing "$data/skills.csv"
	[[ "$stderr" == *"missing"* ]]
	mkdir empty
	run -66 --separate-stderr hare-train encode -m empty "$data/skills.csv"
	[[ "$stderr" == *"empty/vocab.json"* ]]
	hare-embed fit -o model -d 16 --clusters 4 -c title "$data/skills.csv"
	run -65 --separate-stderr hare-train encode -m model "$data/skills.csv"
	[[ "$stderr" == *"model"*"bpe.bytes"* ]]
	head -c 2000 "$t" > cut
	run -65 --separate-stderr hare-train encode -m cut "$data/skills.csv"
	[[ "$stderr" == *"cut"* ]]
	cp -r "$j" bad
	sed -i '5s/.*/zz yy/' bad/merges.txt
	run -65 --separate-stderr hare-train encode -m bad -c title "$data/skills.csv"
	[[ "$stderr" == *"bad/merges.txt:5: "* ]]
	run -65 --separate-stderr hare-train encode -m "$t" -c nothing "$data/skills.csv"
	[[ "$stderr" == *"nothing"* ]]
	run -65 --separate-stderr hare-train encode -m "$t" <<< $'text,tokens\nx,1'
	[[ "$stderr" == *"tokens"* ]]
	run -0 hare-train encode -m "$t" --overwrite <<< $'text,tokens\nx,1'
	[ "${lines[1]}" = "x,125,1" ]
}
