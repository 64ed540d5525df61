bats_require_minimum_version 1.5.0

# Every program of the build is asked the same; the first one that answers otherwise is named.
setup() {
	cd "$BATS_TEST_TMPDIR"
	build=$(cd "$BATS_TEST_DIRNAME/../${BUILD:-build}" && pwd)
	unset HARE_MODEL HARE_POOL HARE_STATE
	programs=$(cd "$build" && ls -1 | grep '^hare-[a-z]*$')
	[ -n "$programs" ]
	PATH="$build:$PATH"
}
toy() { "$build/tests/base" toy "$@"; }
box() { "$build/tests/base" box "$@"; }

verbs_of() { "$1" --help | sed -n '/^verbs:$/,/^$/s/^  \([a-z-]*\) .*/\1/p'; }

# each program, and each with each of its verbs, one to a line
calls() {
	for p in $programs; do
		echo "$p"
		for v in $(verbs_of "$p"); do echo "$p $v"; done
	done
}

@test "--help of every program and verb is on stdout, names the usage and shows an example" {
	while read -r call; do
		run -0 --separate-stderr $call --help
		[ -z "$stderr" ] || { echo "$call: $stderr"; false; }
		[[ "${lines[0]}" == "$call - "?* ]] || { echo "$call: ${lines[0]}"; false; }
		[[ "$output" == *"usage: ${call%% *} "* ]] || { echo "$call: no usage"; false; }
	done < <(calls)
	for p in $programs; do
		{ $p --help; for v in $(verbs_of $p); do $p $v --help; done; } > help
		grep -q '^examples:$' help || { echo "$p: no example"; false; }
	done
}

@test "--version of every program names it and the version" {
	for p in $programs; do
		run -0 --separate-stderr $p --version
		[ "$output" = "$p 0.1.0" ] || { echo "$p: $output"; false; }
		[ -z "$stderr" ]
	done
}

@test "an option that no program has is one line and the usage on stderr, exit 64" {
	while read -r call; do
		run -64 --separate-stderr $call --no-such-option < /dev/null
		[ -z "$output" ] || { echo "$call: $output"; false; }
		[[ "$stderr" == "${call%% *}: "*"--no-such-option"*$'\n'"usage: ${call%% *}"* ]] || { echo "$call: $stderr"; false; }
	done < <(calls)
}

@test "an option whose value is missing is exit 64 and names it, for every option" {
	for p in $programs; do
		# what all verbs share is one table: of the program, or the first verb
		$p --list-options | awk -F '\t' -v OFS='\t' '!shared[$3] { print } $3 ~ /^(vec|col|threads)$/ { shared[$3] = 1 }' > options
		# a sanitizer sees nothing new in one more option of a table
		case $BUILD in *asan*) awk -F '\t' '$4 != "-" && !seen[$1]++' options > one && mv one options ;; esac
		[ -s options ]
		while IFS=$'\t' read -r verb letter name argument; do
			[ "$argument" != - ] || continue
			[ "$verb" != - ] || verb=
			option=--$name
			[ "$name" != - ] || option=-$letter
			run -64 --separate-stderr $p $verb $option < /dev/null
			[ -z "$output" ]
			[[ "$stderr" == "$p: $option needs a value: $argument"$'\n'* ]] || { echo "$p $verb: $stderr"; false; }
		done < options
	done
}

@test "no letter and no name stands twice in a table" {
	for p in $programs; do
		for column in 2 3; do
			run -0 sh -c "$p --list-options | cut -f 1,$column | grep -v -- '-\$' | sort | uniq -d"
			[ -z "$output" ] || { echo "$p: $output"; false; }
		done
	done
}

@test "every program lists its options" {
	for p in $programs; do
		run -0 --separate-stderr $p --list-options
		[ -n "$output" ] || { echo "$p lists nothing"; false; }
		[ -z "$stderr" ]
	done
}

@test "--help into a full device is exit 74 and one line" {
	for p in $programs; do
		run -74 --separate-stderr sh -c "$p --help > /dev/full"
		[ "$stderr" = "$p: stdout: No space left on device" ] || { echo "$p: $stderr"; false; }
	done
}

@test "--help with stdout closed is exit 74 and one line" {
	for p in $programs; do
		run -74 --separate-stderr sh -c "$p --help >&-"
		[ "$stderr" = "$p: stdout: Bad file descriptor" ] || { echo "$p: $stderr"; false; }
	done
}

@test "completions are made for three shells, and bash can read its own" {
	for p in $programs; do
		$p --completion bash > bash
		bash -n bash
		grep -q "complete .* $p\$" bash
		run -0 $p --completion zsh
		[ "${lines[0]}" = "#compdef $p" ]
		run -0 $p --completion fish
		[[ "$output" == *"complete -c $p "* ]]
		run -64 $p --completion csh
		if command -v zsh; then $p --completion zsh > zsh; zsh -n zsh; fi
		if command -v fish; then $p --completion fish > fish; fish -n fish; fi
	done
}

# ---- a program made for the purpose ----

@test "a letter takes its value at once or behind a blank, a name behind = or a blank" {
	run -0 toy -k5 --seed=7 --form tsv -m m a
	[ "$output" = "hare-toy flag=0 quiet=0 model=m form=tsv label=none top=5 all=0 seed=7 alpha=0.25 pools= [a]" ]
	run -0 toy -k 6 --seed 8 --form=json --label= -a -1e-3
	[ "$output" = "hare-toy flag=0 quiet=0 model=- form=json label= top=6 all=0 seed=8 alpha=-0.001 pools=" ]
}

@test "flags may be grouped, the last letter with a value" {
	run -0 toy -Fqk3
	[[ "$output" == "hare-toy flag=1 quiet=1 "*" top=3 "* ]]
}

@test "options may stand behind operands until --, and - is an operand" {
	run -0 toy a -F - -- -q
	[[ "$output" == "hare-toy flag=1 quiet=0 "*" [a] [-] [-q]" ]]
}

@test "an option given again replaces the value, or lengthens a list" {
	run -0 toy -k 3 -k 4 -p a --pool b -pc
	[[ "$output" == *" top=4 "*" pools=a,b,c" ]]
}

@test "the environment gives defaults, and the command line wins" {
	run -0 env TOY_MODEL=e TOY_POOL=p TOY_TOP=9 "$build/tests/base" toy
	[[ "$output" == *" model=e "*" top=9 "*" pools=p" ]]
	run -0 env TOY_MODEL=e TOY_POOL=p TOY_TOP=bad "$build/tests/base" toy -m c -p q -k 1
	[[ "$output" == *" model=c "*" top=1 "*" pools=q" ]]
	run -64 --separate-stderr env TOY_TOP=bad "$build/tests/base" toy
	[[ "$stderr" == 'hare-toy: TOY_TOP: expected a whole number, got "bad"'* ]]
}

@test "a value that is none is named as it was written, and never mended" {
	for bad in ten 1.5 -1 1e3 '' ' 1' 0x10 18446744073709551616; do
		run -64 --separate-stderr toy -k "$bad"
		[ "${stderr_lines[0]}" = "hare-toy: -k: expected a whole number, got \"$bad\"" ]
		[ -z "$output" ]
	done
	for bad in x 1,5 nan inf 1e999 1x; do
		run -64 --separate-stderr toy -a "$bad"
		[ "${stderr_lines[0]}" = "hare-toy: -a: expected a number, got \"$bad\"" ]
	done
	for bad in xml CSV cs '' 'csv tsv'; do
		run -64 --separate-stderr toy --form "$bad"
		[ "${stderr_lines[0]}" = "hare-toy: --form: expected one of csv tsv json, got \"$bad\"" ]
	done
}

@test "a name cut short is not taken; one mistyped is asked about" {
	run -64 --separate-stderr toy --mod x
	[ "${stderr_lines[0]}" = "hare-toy: unknown option --mod (did you mean --model?)" ]
	run -64 --separate-stderr toy --labl=x
	[ "${stderr_lines[0]}" = "hare-toy: unknown option --labl (did you mean --label?)" ]
	run -64 --separate-stderr toy --wholly-other
	[ "${stderr_lines[0]}" = "hare-toy: unknown option --wholly-other" ]
	run -64 --separate-stderr toy -z
	[ "${stderr_lines[0]}" = "hare-toy: unknown option -z" ]
	run -64 --separate-stderr toy --flag=1
	[ "${stderr_lines[0]}" = "hare-toy: --flag takes no value" ]
}

@test "the usage has every form, each line with the program's name" {
	run -64 --separate-stderr toy a b c d
	[ "$stderr" = "hare-toy: expected at most 3 files, got 4
usage: hare-toy [-Fq] [-m MODEL] [file ...]
       hare-toy --form FORM
       hare-toy fit [-F] [file ...]
       hare-toy --help" ]
	run -64 --separate-stderr toy fit a b c d
	[ "$stderr" = "hare-toy: expected at most 3 files, got 4
usage: hare-toy fit [-F] [file ...]
       hare-toy fit --help" ]
}

@test "the first word picks the verb, elsewhere it is an operand" {
	run -0 toy fit -F a
	[[ "$output" == "fit flag=1 "*" [a]" ]]
	run -0 toy -F fit
	[[ "$output" == "hare-toy flag=1 "*" [fit]" ]]
}

@test "a program that needs a verb says which there are" {
	run -64 --separate-stderr box
	[ "$stderr" = "hare-box: expected a verb
usage: hare-box fit [-F] [file ...]
       hare-box --help" ]
	run -64 --separate-stderr box fti
	[ "${stderr_lines[0]}" = "hare-box: unknown verb fti (did you mean fit?)" ]
	run -64 --separate-stderr box -F fit
	[ "${stderr_lines[0]}" = "hare-box: expected a verb before -F" ]
	run -0 box fit
	[[ "$output" == "fit flag=0 "* ]]
	run -0 box fit --help
	[[ "$output" == *"hare-toy fit < toys.csv"* ]]
}

@test "--help shows values, choices, environment and those of the common table, whatever else is given" {
	run -0 env TOY_TOP=77 "$build/tests/base" toy -k 55 --help
	[[ "$output" == *"-k, --top N "*"how many (default: 10) [\$TOY_TOP]"* ]]
	[[ "$output" == *"the form (one of: csv tsv json) (default: csv)"* ]]
	[[ "$output" == *"  -a ALPHA "*"how much (default: 0.25)"* ]]
	[[ "$output" == *"-q, --quiet "*"say less"* ]]
	[[ "$output" == *"verbs:"*"fit "*"fits a toy"* ]]
}

@test "completions of bash offer verbs, options, choices and files" {
	"$build/tests/base" toy --completion bash > completion
	touch file.csv
	try() {
		bash -c '. ./completion; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hare_toy; printf "%s " "${COMPREPLY[@]}"' - "$@"
	}
	run -0 try hare-toy fi
	[ "$output" = "fit file.csv " ]
	run -0 try hare-toy fit fi
	[ "$output" = "file.csv " ]
	run -0 try hare-toy --mo
	[ "$output" = "--model " ]
	run -0 try hare-toy --form c
	[ "$output" = "csv " ]
	run -0 try hare-toy -f js
	[ "$output" = "json " ]
	run -0 try hare-toy fit -m f
	[ "$output" = "file.csv " ]
	run -0 try hare-toy --label f
	[ "$output" = " " ]
}
