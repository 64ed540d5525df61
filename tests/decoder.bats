bats_require_minimum_version 1.5.0

# 60 rows of six people, who each begin in a way of their own; learnt by a model so small that a test may train it.
setup_file() {
	cd "$BATS_FILE_TMPDIR"
	/usr/bin/python3 - <<-'PY'
		import csv, random
		random.seed(3)
		kinds = ["parser", "viewer", "server", "driver", "editor", "client", "solver", "player"]
		whats = ["mail", "maps", "music", "chess", "fonts", "logs", "genes", "money", "clocks", "trees"]
		begins = ["small", "great", "GNOME", "Python", "old", "fast"]
		def table(name, header):
		    w = csv.writer(open(name, "w", newline=""), lineterminator="\n")
		    w.writerow(header)
		    return w
		pairs, pool = table("pairs.csv", ["input", "output", "user"]), table("pool.csv", ["id", "title", "text", "author"])
		rows = []
		for i in range(60):
		    user, kind, what = i % 6, random.choice(kinds), random.choice(whats)
		    text = f"This is a {kind} for {what}. It can read and write all that {what} need, number {i}."
		    title = f"{begins[user]} {kind} for {what}"
		    rows.append((f"p{i}", title, text, f"u{user}"))
		    pairs.writerow([text, title, f"u{user}"])
		    pool.writerow(rows[-1])
		inputs, profiles = table("inputs.csv", ["id", "author", "input", "target"]), table("profiles.csv", ["sample_id", "item_id"])
		for i in list(range(12))[::-1]:
		    inputs.writerow([f"s{i}", rows[i][3], rows[i][2], rows[i][1]])
		    for j in range(60):
		        if j != i and rows[j][3] == rows[i][3]:
		            profiles.writerow([f"s{i}", f"p{j}"])
	PY
	hare-embed fit -q -o m -d 16 --clusters 4 -c output,input pairs.csv
	hare-embed -q -m m -c title,text pool.csv | hare-pool build -q -m m -o p
	hare-train decoder -q -m m -o d --layers 1 --dim 32 --heads 2 --tokens 400 --prefix 2 --steps 60 --every 20 --batch 600 --dropout 0 \
		--rate 5e-3 --threads 1 pairs.csv
}
setup() {
	cd "$BATS_TEST_TMPDIR"
	at="$BATS_FILE_TMPDIR"; m="$at/m"; p="$at/p"; d="$at/d"; pairs="$at/pairs.csv"
	small=(--layers 1 --dim 32 --heads 2 --tokens 400 --prefix 2 --batch 600 --dropout 0 --rate 5e-3)
}
titles() { hare-eval titles -m "$d" --inputs "$at/inputs.csv" --profiles "$at/profiles.csv" --pool "$at/pool.csv" "$@"; }

@test "decoder: loss falls, and each look at what is held out is told; -q is silent" {
	run --separate-stderr -0 hare-train decoder -m "$m" -o out "${small[@]}" --steps 60 --every 20 --threads 1 "$pairs"
	[ -z "$output" ]
	[ "$(grep -c '^step .* of 60, epoch .*, loss .*, held out .*, .* tokens/s, .* s left$' <<< "$stderr")" -eq 3 ]
	sed 's/.*, loss \([0-9.]*\), held out \([0-9.]*\),.*/\1 \2/' <<< "$stderr" |
		awk 'NR == 1 { a = $1; b = $2 } END { exit !($1 < .7 * a && $2 < b) }'
	run --separate-stderr -0 hare-train decoder -q -m "$m" -o out "${small[@]}" --steps 3 "$pairs"
	[ -z "$output$stderr" ]
}
@test "decoder: the same rows and seed give the same bytes, whatever the threads; another seed others" {
	for n in 1 2; do
		hare-train decoder -q -m "$m" -o out.$n "${small[@]}" --steps 12 --every 5 --threads $n "$pairs"
	done
	cmp out.1 out.2
	hare-train decoder -q -m "$m" -o other "${small[@]}" --steps 12 --every 5 --seed 1 "$pairs"
	run -1 cmp -s out.1 other
}
@test "decoder: a run that stopped and goes on gives the bytes of one that did not" {
	hare-train decoder -q -m "$m" -o whole "${small[@]}" --steps 30 --every 7 "$pairs"
	for stop in 5 7 16; do
		hare-train decoder -q -m "$m" -o first "${small[@]}" --steps 30 --every 7 --checkpoint c --stop $stop "$pairs"
		hare-train decoder -q -m "$m" -o second "${small[@]}" --steps 30 --every 7 --checkpoint c --resume "$pairs"
		cmp whole second
		rm c
	done
	# where there is no checkpoint, the run begins
	hare-train decoder -q -m "$m" -o third "${small[@]}" --steps 30 --every 7 --checkpoint none --resume "$pairs"
	cmp whole third
	run -65 --separate-stderr hare-train decoder -q -m "$m" -o x "${small[@]}" --steps 30 --seed 9 --checkpoint none --resume "$pairs"
	[[ "$stderr" == *"none: is of other rows, options or another seed"* ]]
}
@test "decoder: dropout, more than one thread and a checkpoint agree too" {
	hare-train decoder -q -m "$m" -o whole "${small[@]}" --dropout .2 --steps 9 --every 4 --threads 2 "$pairs"
	hare-train decoder -q -m "$m" -o a "${small[@]}" --dropout .2 --steps 9 --every 4 --threads 1 --checkpoint c --stop 3 "$pairs"
	hare-train decoder -q -m "$m" -o b "${small[@]}" --dropout .2 --steps 9 --every 4 --threads 2 --checkpoint c --resume "$pairs"
	cmp whole b
}
@test "decoder: without users, and from a POOL alone with and without them" {
	sed "s/,[^,]*$//" "$pairs" > two.csv
	hare-train decoder -q -m "$m" -o a "${small[@]}" --steps 10 two.csv
	hare-train decoder -q -m "$m" -p "$p" -o b "${small[@]}" --steps 10
	hare-train decoder -q -m "$m" -p "$p" -o c "${small[@]}" --steps 10 --user-column author
	d=a titles -o a.csv; d=b titles -o b.csv; d=c titles -o c.csv
	[ "$(wc -l < a.csv)" -eq 13 ] && [ "$(wc -l < b.csv)" -eq 13 ] && [ "$(wc -l < c.csv)" -eq 13 ]
}
@test "decoder: begins with another DECODER, all of it or the prefix alone; types are written" {
	hare-train decoder -q -m "$m" -o a --init "$d" --steps 5 --batch 600 "$pairs"
	hare-train decoder -q -m "$m" -o b --init "$d" --frozen --steps 3 --batch 600 --average 0 "$pairs"
	/usr/bin/python3 - "$d" a b <<-'PY'
		import json, struct, sys
		def read(path):
		    raw = open(path, "rb").read()
		    n = struct.unpack("<Q", raw[:8])[0]
		    head = json.loads(raw[8:8 + n])
		    return {k: raw[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]] for k, v in head.items() if k != "__metadata__"}
		d, a, b = map(read, sys.argv[1:])
		assert a["wte.weight"] != d["wte.weight"]
		moved = sorted(k for k in b if k in d and b[k] != d[k] and k != "checksum")
		assert moved and all(k.startswith("prefix.") for k in moved), moved
	PY
	for type in bf16 int8; do
		hare-train decoder -q -m "$m" -o $type "${small[@]}" --steps 5 --type $type "$pairs"
		d=$type titles -o $type.csv
		[ "$(wc -l < $type.csv)" -eq 13 ]
	done
}
@test "convert: the bytes of a DECODER that was written as that type; without its MODEL; what is no DECODER is refused" {
	for type in bf16 int8; do
		hare-train decoder -q -m "$m" -o right "${small[@]}" --steps 60 --every 20 --threads 1 --type $type "$pairs"
		hare-train convert -o out --type $type "$d"
		cmp right out
	done
	hare-train convert -o again --type f32 "$d"
	cmp again "$d"
	hare-train convert -o wide --type f32 out
	d=out titles --beam 1 -o narrow.csv
	d=wide titles --beam 1 -o wide.csv
	[ "$(comm -12 <(sort narrow.csv) <(sort wide.csv) | wc -l)" -ge 11 ]
	hare-train convert -o same --type int8 out
	cmp same out
	hare-train convert -o bare --no-model out
	[ "$(wc -c < bare)" -lt $(($(wc -c < out) - $(wc -c < "$m"))) ]
	d=bare run -64 --separate-stderr titles
	[[ "$stderr" == *"bare: holds no MODEL"* ]]
	run -65 hare-train convert -o x "$m"
	run -66 hare-train convert -o x nowhere
	run -64 hare-train convert -o x
	run -64 hare-train convert -o x "$d" "$d"
	run -64 hare-train convert "$d"
	[ ! -e x ]
}
@test "decoder: begins with a checkpoint of GPT-2's form, and is written and read as one" {
	mkdir g
	hare-train tokenizer -q -o t --vocab g -c input,output --tokens 300 "$pairs"
	/usr/bin/python3 - g <<-'PY'
		import json, random, struct, sys
		random.seed(1)
		d, n_vocab = 64, len(json.load(open(sys.argv[1] + "/vocab.json", encoding="utf-8")))
		shapes = {"wte.weight": (n_vocab, d), "wpe.weight": (200, d), "ln_f.weight": (d,), "ln_f.bias": (d,)}
		for name, shape in {"ln_1.weight": (d,), "ln_1.bias": (d,), "attn.c_attn.weight": (d, 3 * d), "attn.c_attn.bias": (3 * d,),
		    "attn.c_proj.weight": (d, d), "attn.c_proj.bias": (d,), "ln_2.weight": (d,), "ln_2.bias": (d,),
		    "mlp.c_fc.weight": (d, 4 * d), "mlp.c_fc.bias": (4 * d,), "mlp.c_proj.weight": (4 * d, d), "mlp.c_proj.bias": (d,)}.items():
		    shapes["h.0." + name] = shape
		head, data = {}, b""
		for name, shape in shapes.items():
		    n = shape[0] * (shape[1] if len(shape) > 1 else 1)
		    x = [1.0 if "ln" in name and name.endswith("weight") else random.gauss(0, .1) if len(shape) > 1 else 0.0 for _ in range(n)]
		    head["transformer." + name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + 4 * n]}
		    data += struct.pack(f"<{n}f", *x)
		raw = json.dumps(head).encode()
		open(sys.argv[1] + "/model.safetensors", "wb").write(struct.pack("<Q", len(raw)) + raw + data)
	PY
	for how in "" --frozen; do
		run --separate-stderr -0 hare-train decoder -m "$m" -o "out$how" --init g/model.safetensors $how --prefix 2 --question-tokens 40 \
			--text-tokens 16 --steps 20 --every 10 --batch 600 --dropout 0 --average 0 "$pairs"
		[ "$(grep -c '^step' <<< "$stderr")" -eq 2 ]
		d="out$how" titles -o a.csv
		[ "$(wc -l < a.csv)" -eq 13 ]
		run -1 grep -q ',$\|,""$' a.csv
	done
	run -65 --separate-stderr hare-train decoder -m "$m" -o out --init g/model.safetensors --steps 2 "$pairs"
	[[ "$stderr" == *"has 200 places, expected 221"* ]]
	run -65 --separate-stderr hare-train decoder -m "$m" -o out --init "$m" --steps 2 "$pairs"
}
@test "decoder: with a vocabulary that was learnt before; a question that is too long is cut, and -v says so" {
	hare-train tokenizer -q -o t -c input,output --tokens 300 "$pairs"
	run --separate-stderr -0 hare-train decoder -v -m "$m" -o out "${small[@]}" --tokenizer t --question-tokens 8 --steps 5 "$pairs"
	[[ "$stderr" == *"examples had a longer question than 8 tokens, which was cut"* ]]
	d=out run --separate-stderr -0 titles -v -o x.csv
	[[ "$stderr" == *"12 inputs have more than 8 tokens, which were cut"* ]]
}
@test "decoder: no such column, no text, no users, no rows, both sources, wrong numbers" {
	run -65 --separate-stderr hare-train decoder -m "$m" -o out --output-column none "$pairs"
	[[ "$stderr" == *"none"*"input, output, user"* ]]
	printf 'input,output\na,b\nc,\n' > empty.csv
	run -65 --separate-stderr hare-train decoder -m "$m" -o out empty.csv
	[ "$stderr" = "hare-train: empty.csv:3: column output: expected a text to learn, got nothing" ]
	printf 'input,output\na,b\n' > one.csv
	run -65 --separate-stderr hare-train decoder -m "$m" -o out one.csv
	[[ "$stderr" == *"expected two rows or more to learn from, got 1"* ]]
	run -64 --separate-stderr hare-train decoder -m "$m" -o out -p "$p" "$pairs"
	run -64 --separate-stderr hare-train decoder -m "$m" -o out --heads 3 "$pairs"
	run -64 --separate-stderr hare-train decoder -m "$m" -o out --steps 3 --minutes 1 "$pairs"
	run -64 --separate-stderr hare-train decoder -m "$m" -o out --frozen "$pairs"
	run -64 --separate-stderr hare-train decoder -m "$m" -o out --resume "$pairs"
	[ ! -e out ]
}
@test "titles: one line for each input, in their order, valid and not empty; the same for any threads; targets are not read" {
	titles -o a.csv --threads 1
	titles --threads 2 > b.csv
	cmp a.csv b.csv
	[ "$(head -n 1 a.csv)" = id,output ]
	[ "$(tail -n +2 a.csv | cut -d, -f1 | tr '\n' ' ')" = "s11 s10 s9 s8 s7 s6 s5 s4 s3 s2 s1 s0 " ]
	run -1 grep -q ',$\|,""$' a.csv
	iconv -f utf8 -t utf8 a.csv > /dev/null
	sed 's/,[^,]*$/,/' "$at/inputs.csv" | sed '1s/.*/id,author,input,target/' > blind.csv
	hare-eval titles -m "$d" --inputs blind.csv --profiles "$at/profiles.csv" --pool "$at/pool.csv" -o c.csv
	cmp a.csv c.csv
}
@test "titles: what is written is of the input, and whose rows are given matters" {
	titles -o own.csv; titles -o none.csv --profile-of none; titles -o other.csv --profile-of other
	run -1 cmp -s own.csv none.csv
	run -1 cmp -s own.csv other.csv
	titles --beam 1 -o greedy.csv
	[ "$(wc -l < greedy.csv)" -eq 13 ]
	titles --beam 4 --length-power 1 --consensus 0 -o likeliest.csv
	titles --beam 4 --length-power 1 --consensus 8 -o agreed.csv
	run -1 cmp -s likeliest.csv agreed.csv
}
@test "titles: several DECODERs write together, the first with a MODEL; in any order, for any threads" {
	hare-train decoder -q -m "$m" -o other "${small[@]}" --steps 40 --every 20 --threads 1 --seed 5 --no-model "$pairs"
	titles -o one.csv
	titles -m "$d" -o twice.csv
	cmp one.csv twice.csv
	titles -m other -o two.csv --threads 1
	run -1 cmp -s one.csv two.csv
	titles -m other --threads 2 | cmp - two.csv
	d=other titles -m "$d" --model "$m" | cmp - two.csv
	hare-train decoder -q -m "$m" -o third "${small[@]}" --steps 3 --tokens 390 "$pairs"
	run -65 --separate-stderr titles -m third
	[[ "$stderr" == *"third: has not the vocabulary of"* ]]
}
@test "titles: figures: ROUGE of what is right is 1; controls are paired with the own profile" {
	titles --score target --controls > figures.csv
	[ "$(head -n 1 figures.csv)" = profile,measure,value,low,high ]
	for row in own,rouge-1 own,rouge-l own,unfaithful own,distinct-2 own,copied-5 "own,copied-5 elsewhere" other,rouge-1 none,rouge-l own-other,rouge-1 \
		"own-none but largest,rouge-l"; do
		[ "$(grep -c "^$row," figures.csv)" -eq 1 ]
	done
	awk -F, 'NR > 1 && ($3 < -1 || $3 > 12) { exit 1 }
		$1 == "own" && $2 == "rouge-1" { own = $3 } $1 == "other" && $2 == "rouge-1" { other = $3 } $1 == "own-other" && $2 == "rouge-1" { d = $3 }
		END { exit !(own > .3 && (own - other - d) ^ 2 < 1e-6) }' figures.csv
}
@test "titles: --faithful begins no word that was not read" {
	titles --faithful -o f.csv
	titles --faithful --score target > figures.csv
	awk -F, '$2 == "unfaithful" { exit !($3 <= .05) }' figures.csv
}
@test "titles: rows that are no sample's or no item's, an id twice, a MODEL that does not fit, no MODEL" {
	printf 'sample_id,item_id\ns1,p1\ns2,q9\n' > bad.csv
	run -65 --separate-stderr hare-eval titles -m "$d" --inputs "$at/inputs.csv" --profiles bad.csv --pool "$at/pool.csv"
	[ "$stderr" = 'hare-eval: bad.csv:3: column item_id: expected an item of the pool, got "q9"' ]
	printf 'id,input\na,b\na,c\n' > twice.csv
	run -65 --separate-stderr hare-eval titles -m "$d" --inputs twice.csv --profiles "$at/profiles.csv" --pool "$at/pool.csv"
	[ "$stderr" = 'hare-eval: twice.csv:3: column id: expected an id of its own, got "a" again' ]
	run -65 --separate-stderr hare-eval titles -m "$d" --inputs "$at/profiles.csv" --profiles "$at/profiles.csv" --pool "$at/pool.csv"
	[[ "$stderr" == *"sample_id, item_id"* ]]
	hare-train decoder -q -m "$m" -o bare "${small[@]}" --steps 3 --no-model "$pairs"
	d=bare run -64 --separate-stderr titles
	[[ "$stderr" == *"bare: holds no MODEL"* ]]
	hare-embed fit -q -o m2 -d 16 --seed 2 --clusters 4 -c input "$pairs"
	d=bare run -65 --separate-stderr titles --model m2
	[[ "$stderr" == *"bare: is of the space"*"m2 of"* ]]
	d=bare titles --model "$m" -o a.csv
	run -65 --separate-stderr titles -m "$m"
	run -66 --separate-stderr titles -m nothing
}
@test "titles: bytes that are no UTF-8, a blank input, one without rows: each has its line" {
	printf 'id,input\na,\xff\xfe tool \xc3\nb, \nc,a parser for mail\n' > odd.csv
	printf 'sample_id,item_id\n' > none.csv
	hare-eval titles -m "$d" --inputs odd.csv --profiles none.csv --pool "$at/pool.csv" -o out.csv
	[ "$(wc -l < out.csv)" -eq 4 ]
	run -1 grep -q ',$\|,""$' out.csv
	iconv -f utf8 -t utf8 out.csv > /dev/null
}
