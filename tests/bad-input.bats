#!/usr/bin/env bats
# Bad input as a matrix: every command that reads records, against everything that can be wrong with them. Each must
# end with the right status and one clear line, and leave every file as it was.
bats_require_minimum_version 1.5.0
load matrix

setup_file() { make_world; }
setup() { enter_world; }

@test "the good input is good: every command takes it in silence" {
	for c in $readers; do
		call $c good.$c
		"${argv[@]}" > "$out" 2> "$err" || note "$c: status $?"
		[ ! -s "$err" ] || note "$c: $(cat "$err")"
	done
	verdict
}

@test "a missing column is 65, named beside those that are there" {
	for c in $readers; do
		for column in $(needs $c); do
			sed "1s/\b$column\b/elsewhere/" good.$c > in.csv
			call $c in.csv
			told 65 "in.csv: no column \"$column\": the columns are *elsewhere*" "$c without $column"
			learnt $c 0 "$c without $column"
		done
	done
	verdict
}

@test "a renamed column is found through --col; through a wrong name it is named" {
	for c in $readers; do
		for column in $(needs $c); do
			[ $c != load ] || continue
			call $c good.$c
			"${argv[@]}" > ../plain
			[ ! -e target.$c ] || cp target.$c ../want
			cp "$BATS_FILE_TMPDIR/world/target.$c" . 2> /dev/null || true
			sed "1s/\b$column\b/elsewhere/" good.$c > in.csv
			case $c in
			fit | embed) call $c in.csv -c elsewhere ;;
			*) call $c in.csv --col $column=elsewhere ;;
			esac
			"${argv[@]}" > "$out" 2> "$err" || note "$c with $column renamed: status $?, $(cat "$err")"
			[ ! -s "$err" ] || note "$c with $column renamed: $(cat "$err")"
			sed 1d ../plain > ../plain.rows
			sed 1d "$out" | cmp -s - ../plain.rows || note "$c with $column renamed: another answer"
			case $c in
			item | z | x)
				hare-state dump -s target.$c > ../dump
				hare-state dump -s ../want | cmp -s - ../dump || note "$c with $column renamed: another state" ;;
			esac
			cp "$BATS_FILE_TMPDIR/world/target.$c" . 2> /dev/null || true
			case $c in
			fit | embed) continue ;;
			esac
			call $c good.$c --col $column=nowhere
			told 65 "good.$c*nowhere*" "$c with $column looked for in nowhere"
		done
	done
	call attend good.attend --col nonsense=a
	told 64 '*nonsense*' "a role that does not exist"
	call attend good.attend --col x
	told 64 '*' "--col without a name"
	verdict
}

@test "a ragged row is 65, named by its line" {
	for c in $readers; do
		good=good.$c
		# that it is short shows at its end; that it is long, too
		sed '3s/,[^,]*$//' $good > in.csv
		call $c in.csv
		told 65 'in.csv:3: *' "$c with a short row"
		learnt $c 1 "$c with a short row"
		sed '3s/$/,more/' $good > in.csv
		call $c in.csv
		told 65 'in.csv:3: *' "$c with a long row"
		learnt $c 1 "$c with a long row"
	done
	verdict
}

@test "an unclosed quote, and bytes behind a closing one, are 65, named by the line of their row" {
	for c in $readers; do
		{ head -2 good.$c; sed -n '3s/^/"/p' good.$c; sed -n 4p good.$c; } > in.csv
		call $c in.csv
		told 65 'in.csv:3: *quote*' "$c with an unclosed quote"
		learnt $c 1 "$c with an unclosed quote"
		sed '3s/^\([^,]*\),/"\1"z,/' good.$c > in.csv
		call $c in.csv
		told 65 'in.csv:3: *quote*' "$c with bytes behind a quote"
		learnt $c 1 "$c with bytes behind a quote"
	done
	verdict
}

@test "a bad vector is 65, named by line and column" {
	bad='0 high 0 0|nan 0 0 0|0 NaN 0 0|inf 0 0 0|-inf 0 0 0|1e999 0 0 0|0 0 0|0 0 0 0 0||0x1 0 0 0|1 0 0 0x|f32:!!!!'
	bad="$bad|f32:AAAA|f32:AADAfwAAAAAAAAAAAAAAAA==|[0 1 0 0|0;1;0;0|--1 0 0 0|1. .  0"
	for c in build add attend x z; do
		column=x
		[ $c != z ] || column=z
		while IFS= read -r cell; do
			spoil $c $column "$cell"
			call $c in.csv
			told 65 "in.csv:3: column $column: *" "$c with $column '$cell'"
			learnt $c 1 "$c with $column '$cell'"
		done < <(tr '|' '\n' <<< "$bad")
	done
	verdict
}

@test "a bad number is 65, named by line and column, with what was there" {
	for c in item z x; do
		for cell in '' high nan NaN inf -inf 1e999 0x1 '1 0' 1.0.0 -0.1 1.1 one; do
			spoil $c reward "$cell"
			call $c in.csv
			told 65 "in.csv:3: column reward: *${cell}*" "$c with reward '$cell'"
			learnt $c 1 "$c with reward '$cell'"
		done
		for cell in noon nan inf 1e999; do
			spoil $c time "$cell"
			call $c in.csv
			told 65 "in.csv:3: column time: *$cell*" "$c with time '$cell'"
			learnt $c 1 "$c with time '$cell'"
		done
		spoil $c reward '"0,5"'
		call $c in.csv
		told 65 'in.csv:3: column reward: *0,5*' "$c with a decimal comma"
		spoil $c reward 7
		call $c in.csv --any-reward
		"${argv[@]}" || note "$c --any-reward refuses a reward of 7"
		spoil $c reward nan
		cp state.$c target.$c
		call $c in.csv --any-reward
		told 65 'in.csv:3: column reward: *' "$c --any-reward with nan"
		cp state.$c target.$c
	done
	for c in blend prompt; do
		for cell in '0.5' '0.5 0.2 0.3' '0.5 half' 'nan 1' 'inf 1' '-1 2' '' '1e999 1'; do
			spoil $c weights "$cell"
			call $c in.csv
			told 65 'in.csv:3: column weights: *' "$c with weights '$cell'"
		done
	done
	verdict
}

@test "an item that the pool does not have, an id that is none, and nobody's reward are 65" {
	for c in blend prompt; do
		spoil $c items 'b1 nosuch'
		call $c in.csv
		told 65 'in.csv:3: column items: *nosuch*' "$c with an unknown item"
	done
	for cell in nosuch '' 'a1 b1'; do
		spoil item item "$cell"
		call item in.csv
		told 65 "in.csv:3: column item: *$cell*" "item '$cell'"
		learnt item 1 "item '$cell'"
	done
	for c in item z x; do
		spoil $c user ''
		call $c in.csv
		told 65 'in.csv:3: column user: *' "$c without a user"
		learnt $c 1 "$c without a user"
	done
	for c in build add; do
		for cell in '' 'a b' n1; do
			spoil $c id "$cell"
			call $c in.csv
			case "$cell" in
			n1) told 65 '*"n1" is there twice*' "$c with an id twice" ;;
			*) told 65 'in.csv:3: column id: *' "$c with id '$cell'" ;;
			esac
		done
		spoil $c x '0.5 0 0 0'
		call $c in.csv
		told 65 'in.csv:3: column x: *' "$c with a vector that is not of unit length"
	done
	spoil add id a1
	call add in.csv
	told 65 '*"a1" is there *' "add with an id of the pool"
	verdict
}

@test "an empty input is 65; a header alone is no error where nothing is to be learnt from it" {
	: > in.csv
	for c in $readers; do
		call $c in.csv
		told 65 'in.csv*' "$c of an empty file"
		learnt $c 0 "$c of an empty file"
		call $c -
		"${argv[@]}" < /dev/null > "$out" 2> "$err" && note "$c takes /dev/null" || [ $? -eq 65 ] || note "$c of /dev/null: not 65"
		[ "$(wc -l < "$err")" -eq 1 ] || note "$c of /dev/null: $(cat "$err")"
	done
	printf '\n\n' > in.csv
	for c in $readers; do
		call $c in.csv
		told 65 'in.csv*' "$c of blank lines"
	done
	for c in $readers; do
		head -1 good.$c > in.csv
		call $c in.csv
		case $c in
		fit) told 65 '*no text*' "fit of a header alone" ;;
		load) told 65 '*no settings*' "load of a header alone" ;;
		*)
			"${argv[@]}" > "$out" 2> "$err" || note "$c of a header alone: status $?"
			[ ! -s "$err" ] || note "$c of a header alone: $(cat "$err")"
			learnt $c 0 "$c of a header alone"
			case $c in
			embed | attend | explain | choose | blend | prompt)
				[ "$(wc -l < "$out")" -eq 1 ] || note "$c of a header alone: no header comes out" ;;
			esac
			;;
		esac
	done
	verdict
}

@test "BOM, CRLF, gzip, a missing last newline and quotes give the answer of plain lines" {
	for c in $readers; do
		call $c good.$c
		"${argv[@]}" > ../want
		[ ! -e target.$c ] || mv target.$c ../want.target
		for way in bom crlf gzip unended quoted; do
			# draws follow the bytes of the record
			[ "$c $way" != 'choose quoted' ] || continue
			cp "$BATS_FILE_TMPDIR/world/target.$c" . 2> /dev/null || rm -f target.$c
			case $way in
			bom) { printf '\357\273\277'; cat good.$c; } > in.csv ;;
			crlf) sed 's/$/\r/' good.$c > in.csv ;;
			gzip) gzip -c good.$c > in.csv ;;
			unended) head -c -1 good.$c > in.csv ;;
			quoted) sed 's/,/","/g; s/^/"/; s/$/"/' good.$c > in.csv ;;
			esac
			call $c in.csv
			"${argv[@]}" > "$out" 2> "$err" || note "$c of $way: status $?"
			[ ! -s "$err" ] || note "$c of $way: $(cat "$err")"
			# quotes pass through; an answer that needed none has none to lose
			[ $way != quoted ] || sed -i 's/"//g' "$out"
			sed 's/"//g' ../want > ../want.bare
			[ $way = quoted ] || cp ../want ../want.bare
			cmp -s "$out" ../want.bare || note "$c of $way: another answer"
			case $c in
			fit | build | add) cmp -s target.$c ../want.target || note "$c of $way: another file" ;;
			item | z | x | load)
				hare-state dump -s ../want.target > ../dump
				hare-state dump -s target.$c | cmp -s - ../dump || note "$c of $way: another state" ;;
			esac
		done
		rm -f ../want.target target.load
	done
	verdict
}

@test "a cell of a megabyte and a cell with NUL pass in every command" {
	big=$(head -c 1048576 /dev/zero | tr '\0' q)
	for c in fit embed build add attend choose item z x blend prompt; do
		for way in big nul; do
			{
				sed -n '1s/$/,note/p' good.$c
				if [ $way = big ]; then printf '%s,%s\n' "$(sed -n 2p good.$c)" "$big"
				else printf '%s,a\0b\n' "$(sed -n 2p good.$c)"; fi
				sed -n '3,$s/$/,plain/p' good.$c
			} > in.csv
			call $c in.csv
			"${argv[@]}" > "$out" 2> "$err" || note "$c of $way: status $?"
			[ ! -s "$err" ] || note "$c of $way: $(head -c 300 "$err")"
			case $c in
			embed | attend | choose | blend | prompt)
				head -c 1200000 in.csv | tail -n +2 | head -1 | tr -d '\n' > ../row
				tail -n +2 "$out" | head -1 | head -c "$(wc -c < ../row)" | cmp -s - ../row || note "$c of $way: the cell does not come out" ;;
			build | add)
				hare-pool get target.$c n1 > ../got
				tr -d '\n' < ../got | grep -qa "$(if [ $way = big ]; then echo ',qqqqqq*,'; else echo ',a.b,'; fi)" || note "$c of $way: the cell is not in the pool" ;;
			esac
			cp "$BATS_FILE_TMPDIR/world/target.$c" . 2> /dev/null || true
		done
	done
	# as a text, a query, an id of a user
	printf 'text\n%s\n' "$big" > in.csv
	call embed in.csv
	"${argv[@]}" -q > "$out" || note "embed of a long word: status $?"
	[ "$(wc -c < "$out")" -gt 1048576 ] || note "embed of a long word: it is gone"
	printf 'user,item,reward,time\n%s,a1,1,9\n' "$big" > in.csv
	call item in.csv
	"${argv[@]}" || note "a user of a megabyte: status $?"
	hare-state check -s target.item || note "a user of a megabyte: not sound"
	hare-state dump -s target.item | grep -q '^user,qqqq' || note "a user of a megabyte is lost"
	verdict
}
