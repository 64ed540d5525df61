bats_require_minimum_version 1.5.0

# hare-train decoder --frozen: over a checkpoint of GPT-2's form and over a DECODER; what may not move does not, by a bit.
setup_file() {
	cd "$BATS_FILE_TMPDIR"
	/usr/bin/python3 - <<-'PY'
		import random
		random.seed(5)
		kinds, whats = ["parser", "viewer", "server", "driver"], ["mail", "maps", "music", "chess", "fonts"]
		with open("pairs.csv", "w") as out:
		    print("input,output,user", file=out)
		    for i in range(40):
		        kind, what = random.choice(kinds), random.choice(whats)
		        print(f"a {kind} that reads {what} number {i},{['small', 'great', 'old', 'fast'][i % 4]} {kind} for {what},u{i % 4}", file=out)
	PY
	hare-embed fit -q -o m -d 8 --clusters 2 --min-df 1 -c output,input pairs.csv
	mkdir bare long
	hare-train tokenizer -q -o t --vocab bare -c input,output --tokens 290 pairs.csv
	cp bare/* long
	# the same numbers under both names, two blocks; some are -0, which an average that adds would make 0
	/usr/bin/python3 - <<-'PY'
		import json, random, struct
		random.seed(1)
		d, n_vocab = 64, len(json.load(open("bare/vocab.json", encoding="utf-8")))
		shapes = {"wte.weight": (n_vocab, d), "wpe.weight": (64, d), "ln_f.weight": (d,), "ln_f.bias": (d,)}
		for h in "h.0.", "h.1.":
		    for name, shape in {"ln_1.weight": (d,), "ln_1.bias": (d,), "attn.c_attn.weight": (d, 3 * d), "attn.c_attn.bias": (3 * d,),
		        "attn.c_proj.weight": (d, d), "attn.c_proj.bias": (d,), "ln_2.weight": (d,), "ln_2.bias": (d,),
		        "mlp.c_fc.weight": (d, 4 * d), "mlp.c_fc.bias": (4 * d,), "mlp.c_proj.weight": (4 * d, d), "mlp.c_proj.bias": (d,)}.items():
		        shapes[h + name] = shape
		heads, data = [{}, {}], b""
		for name, shape in shapes.items():
		    n = shape[0] * (shape[1] if len(shape) > 1 else 1)
		    x = [1.0 if "ln" in name and name.endswith("weight") else random.gauss(0, .1) if len(shape) > 1 else -0.0 for _ in range(n)]
		    for head, before in zip(heads, ["", "transformer."]):
		        head[before + name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + 4 * n]}
		    data += struct.pack(f"<{n}f", *x)
		for head, to in zip(heads, ["bare", "long"]):
		    raw = json.dumps(head).encode()
		    open(to + "/model.safetensors", "wb").write(struct.pack("<Q", len(raw)) + raw + data)
	PY
	# moved A B: names of the tensors of B that are in A with other bytes, then those that A has not
	cat > moved.py <<-'PY'
		import json, struct, sys
		def read(path):
		    raw = open(path, "rb").read()
		    n = struct.unpack("<Q", raw[:8])[0]
		    head = json.loads(raw[8:8 + n])
		    return {k.removeprefix("transformer."): raw[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]]
		        for k, v in head.items() if k != "__metadata__"}
		a, b = map(read, sys.argv[1:])
		gone = [k for k in a if k not in b and k != "checksum"]
		assert not gone, gone
		rest = {k for k in b if k not in a and k.split(".")[0] in ("h", "ln_f", "wte", "wpe", "prefix")}
		print(*sorted(k for k in b if k in a and a[k] != b[k] and k.split(".")[0] in ("h", "ln_f", "wte", "wpe", "wse", "shift", "prefix", "copy")),
		    *sorted("+" + k for k in rest))
	PY
	options='--prefix 2 --question-tokens 24 --items 2 --item-tokens 8 --text-tokens 12 --batch 300 --dropout 0 --threads 2'
	echo "$options" > options
	hare-train decoder -q -m m -o whole --init bare/model.safetensors --frozen $options --rate 1e-2 --steps 24 --every 6 pairs.csv
}
setup() {
	cd "$BATS_TEST_TMPDIR"
	at=$BATS_FILE_TMPDIR m=$at/m pairs=$at/pairs.csv
	options="$(cat "$at/options") --rate 1e-2"
	prefix='prefix.1.bias prefix.1.weight prefix.2.bias prefix.2.weight'
	block=$(for k in attn.c_attn attn.c_proj ln_1 ln_2 mlp.c_fc mlp.c_proj; do printf '%s ' h.1.$k.bias h.1.$k.weight; done)
}
moved() { /usr/bin/python3 "$at/moved.py" "$@"; }
frozen() { hare-train decoder -m "$m" --init "$at/bare/model.safetensors" --frozen $options "$@" "$pairs"; }

@test "frozen: in the first epoch the prefix alone learns; every number of the checkpoint stays, bit for bit" {
	for average in 0 .9; do
		run --separate-stderr -0 frozen -o out --steps 2 --every 1 --average $average --held-out 0
		run -1 grep -v 'epoch 0\.' <<< "$stderr"
		[ "$(moved "$at/bare/model.safetensors" out)" = "$(printf '+%s ' $prefix | sed 's/ $//')" ]
		frozen -q -o more --steps 3 --every 1 --average $average
		[ "$(moved out more)" = "$prefix" ]
	done
}
@test "frozen: from the second epoch on the last block and the last normalisation learn too, and nothing else" {
	[ "$(moved "$at/bare/model.safetensors" "$at/whole")" = "${block}ln_f.bias ln_f.weight $(printf '+%s ' $prefix | sed 's/ $//')" ]
}
@test "frozen: a checkpoint with names that begin with transformer. is the same one" {
	hare-train decoder -q -m "$m" -o long --init "$at/long/model.safetensors" --frozen $options --steps 24 --every 6 "$pairs"
	cmp long "$at/whole"
}
@test "frozen: the loss falls, of what is learnt from and of what is held out, and by the prefix alone too" {
	run --separate-stderr -0 frozen -o out --steps 24 --every 6
	cmp out "$at/whole"
	sed 's/.*, loss \([0-9.]*\), held out \([0-9.]*\),.*/\1 \2/' <<< "$stderr" |
		awk 'NR == 1 { a = $1; b = $2 } END { exit !(NR == 4 && $1 < .9 * a && $2 < b) }'
	run --separate-stderr -0 frozen -o out --steps 3 --every 1 --average 0
	sed 's/.*, loss \([0-9.]*\), held out \([0-9.]*\),.*/\1 \2/' <<< "$stderr" |
		awk 'NR == 1 { b = $2 } END { exit !(NR == 3 && $2 < b) }'
}
@test "frozen: a run that stopped before, where and after the last block thaws gives the bytes of one that did not" {
	for stop in 2 4 5 15; do
		frozen -q -o first --steps 24 --every 6 --checkpoint c --stop $stop --threads 1
		frozen -q -o second --steps 24 --every 6 --checkpoint c --resume
		cmp second "$at/whole"
		rm c
	done
}
@test "frozen: over a DECODER its prefix learns on, and what it has besides stays" {
	hare-train decoder -q -m "$m" -o d --layers 2 --dim 16 --heads 2 --tokens 290 $options --steps 10 --every 5 "$pairs"
	hare-train decoder -q -m "$m" -o out --init d --frozen $options --steps 24 --every 6 "$pairs"
	[ "$(moved d out)" = "${block}ln_f.bias ln_f.weight $prefix" ]
	hare-train convert -o int8 --type int8 d
	run -65 --separate-stderr hare-train decoder -m "$m" -o no --init int8 --frozen $options --steps 2 "$pairs"
	[[ "$stderr" == *"int8: tensor wte.weight: expected floating-point numbers, as hare-train convert --type f32 makes them" ]]
	hare-train convert -o f32 --type f32 int8
	hare-train decoder -q -m "$m" -o out --init f32 --frozen $options --steps 2 "$pairs"
	[ "$(moved f32 out)" = "$prefix" ]
}
@test "frozen: without a prefix there is nothing to learn, which is said" {
	run -64 --separate-stderr frozen -o out --prefix 0 --steps 2
	[[ "$stderr" == *"--frozen"*"prefix"* ]]
	[ ! -e out ]
}
@test "frozen: what it writes is read like any DECODER" {
	printf 'sample_id,item_id\n' > none.csv
	printf 'id,title,text\np,a,b\n' > pool.csv
	printf 'id,input\na,a parser that reads mail\nb,a viewer that reads maps\n' > in.csv
	hare-eval titles -m "$at/whole" --inputs in.csv --profiles none.csv --pool pool.csv -o out.csv
	[ "$(wc -l < out.csv)" -eq 3 ]
	run -1 grep -q ',$\|,""$' out.csv
}
