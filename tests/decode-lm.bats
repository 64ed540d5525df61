# hare-decode -m in pipes: what goes in and out, whatever the language model has to say.
bats_require_minimum_version 1.5.0
load notes

setup_file() {
	make_notes
	hare-embed fit -o other --min-df 1 -d 6 --seed 3 -c text < notes.csv
	hare-embed -m other -c text < notes.csv | hare-pool build -m other -o q
	printf 'user,item,reward\nann,tea,1\nann,bees,0\nbob,bike,1\nbob,soup,0\n' > liked.csv
	hare-update -m m -p p -s s liked.csv
	printf 'user,note,query\nann,"a, ""b""",how warm\nbob,,how do I mend my bike\nnew,x,what about bees\nann,y,tell me of roses\nbob,z,bread\n' > q.csv
	hare-embed -m m -c query q.csv | hare-attend -m m -p p -s s > z.csv
	# two decoders: one learnt from answers, which reads items alone, and one from pairs, which is given z and the user
	/usr/bin/python3 - > answered.csv <<-'PY'
		import csv, sys
		w = csv.writer(sys.stdout, lineterminator="\n")
		w.writerow(["query", "items", "weights", "output"])
		rows = list(csv.DictReader(open("notes.csv")))
		for i, r in enumerate(rows):
		    for j in range(1, 6):
		        w.writerow(["what of " + r["title"], r["id"] + " " + rows[(i + j) % 8]["id"], ".8 .2", r["text"].split(". ")[0] + "."])
	PY
	hare-train distil -q -p p -o d --text-columns text --layers 1 --dim 32 --heads 2 --tokens 400 --items 2 --item-tokens 32 \
		--question-tokens 24 --text-tokens 24 --steps 60 --batch 8 --rate 1e-2 --warm 5 --dropout 0 --held-out 0 --threads 1 answered.csv
	hare-train decoder -q -m m -o given -p p --layers 1 --dim 16 --heads 2 --tokens 300 --prefix 2 --steps 3 --batch 200 --held-out 0 --threads 1
	printf 'query,items,weights\nhow warm,tea coffee,0.7 0.3\n' > a.csv
}
setup() { cd "$BATS_FILE_TMPDIR"; }

# outputs FILE: a program on stdin gets rows, a list of dicts
python() {
	{ echo 'import csv, sys; csv.field_size_limit(10**9); rows = list(csv.DictReader(open(sys.argv[1], newline="", encoding="utf-8")))'; cat; } |
		/usr/bin/python3 - "$@"
}

@test "decode -m: columns pass through byte for byte, one output a record in their order, with why it ends and tokens" {
	run -0 --separate-stderr hare-decode -p p -s s -m d z.csv
	[ -z "$stderr" ]
	echo "$output" > out.csv
	[ "$(head -1 out.csv)" = "$(head -1 z.csv),output,finish_reason,tokens_in,tokens_out" ]
	[ "$(wc -l < out.csv)" -eq 6 ]
	paste -d '\n' <(tail -n +2 z.csv) <(tail -n +2 out.csv) | while read -r before && read -r after; do
		[ "${after:0:${#before}}" = "$before" ]
	done
	python out.csv <<-'PY'
	for r in rows:
	    assert r["output"].strip() and r["finish_reason"] in ("stop", "length"), r
	    assert int(r["tokens_in"]) > 0 and 0 < int(r["tokens_out"]) <= 23, r
	PY
}
@test "decode -m: it has learnt to say what the heaviest item says" {
	run -0 hare-decode -p p -m d --plain a.csv
	[ "$output" = 'Green tea wants water of seventy degrees.' ]
}
@test "decode -m: the same bytes for any threads, any batch, any order" {
	for _ in 1 2 3 4 5 6 7 8; do tail -n +2 z.csv; done | cat <(head -1 z.csv) - > many.csv
	hare-decode -p p -s s -m given -J --threads 1 many.csv > one
	hare-decode -p p -s s -m given -J --threads 2 many.csv | cmp - one
	hare-decode -p p -s s -m given -J -j 3 many.csv | cmp - one
	# one record at a time, as they come from a slow source
	while read -r line; do echo "$line"; sleep .01; done < many.csv | hare-decode -p p -s s -m given -J | cmp - one
	{ head -1 many.csv; tail -n +2 many.csv | tac; } | hare-decode -p p -s s -m given -J | tac | cmp - one
}
@test "decode -m: many written at once are what each is alone: faithful, drawn, by beams, by consensus, with stops" {
	for _ in 1 2 3 4; do tail -n +2 z.csv; done | cat <(head -1 z.csv) - > many.csv
	for how in '--faithful --temperature 3 --seed 2' '--temperature 0' '--beam 3 --faithful' '--beam 8 --consensus 12' \
		'--temperature 2 --stop t --max-tokens 9'; do
		hare-decode -p p -s s -m d -J --threads 1 $how many.csv > at-once
		while read -r line; do echo "$line"; sleep .01; done < many.csv | hare-decode -p p -s s -m d -J -u --threads 1 $how | cmp - at-once
		hare-decode -p p -s s -m d -J --threads 2 $how many.csv | cmp - at-once
	done
}
@test "decode -m, given again: they write together; a decoder with itself writes what it writes alone; what does not fit is refused" {
	hare-decode -p p -s s -m given -J z.csv > one
	hare-decode -p p -s s -m given -m given -J z.csv | cmp - one
	learn=(hare-train decoder -q -m m -p p --layers 1 --heads 2 --tokens 300 --prefix 2 --steps 3 --batch 200 --held-out 0 --threads 1)
	"${learn[@]}" -o second --dim 24 --seed 7
	hare-decode -p p -s s -m given -m second -J z.csv > two
	run -1 cmp -s one two
	hare-decode -p p -s s -m given -m second -J --threads 1 z.csv | cmp - two
	"${learn[@]}" -o other --dim 16 --item-tokens 12
	run -65 --separate-stderr hare-decode -p p -s s -m given -m other z.csv
	[ "$stderr" = 'hare-decode: other: reads prompts of another form than given' ]
	run -65 --separate-stderr hare-decode -p p -s s -m given -m d z.csv
	[[ "$stderr" == 'hare-decode: d: has not the vocabulary of given: '* ]]
	run -66 hare-decode -p p -s s -m given -m nowhere z.csv
}
@test "decode -m: what is drawn depends on seed and record, not on threads" {
	hot=(--temperature 2 -J)
	hare-decode -p p -m d "${hot[@]}" --seed 5 --threads 1 z.csv > one
	hare-decode -p p -m d "${hot[@]}" --seed 5 --threads 2 z.csv | cmp - one
	run -1 cmp -s <(hare-decode -p p -m d "${hot[@]}" --seed 6 z.csv) one
	for _ in 1 2 3 4; do tail -n 1 a.csv; done | cat <(head -1 a.csv) - > same.csv
	[ "$(hare-decode -p p -m d "${hot[@]}" same.csv | sort -u | wc -l)" -gt 1 ]
	[ "$(hare-decode -p p -m d -J --temperature 0 same.csv | sort -u | wc -l)" -eq 1 ]
	hare-decode -p p -m d -J --top-k 1 --temperature 3 same.csv | cmp - <(hare-decode -p p -m d -J --temperature 0 same.csv)
}
@test "decode -m: seed and temperature of a record, where asked for" {
	printf 'query,items,weights,seed,temperature\nhow warm,tea coffee,0.7 0.3,1,2\nhow warm,tea coffee,0.7 0.3,,0\n' > each.csv
	hare-decode -p p -m d --per-record --seed 9 each.csv > out.csv
	hare-decode -p p -m d --seed 9 --temperature 0 each.csv > cold.csv
	[ "$(sed -n 3p out.csv)" = "$(sed -n 3p cold.csv)" ]
	hare-decode -p p -m d --seed 1 --temperature 2 each.csv > warm.csv
	[ "$(sed -n 2p out.csv)" = "$(sed -n 2p warm.csv)" ]
	run -65 --separate-stderr hare-decode -p p -m d --per-record a.csv
	[[ "$stderr" == *'column "temperature"'* || "$stderr" == *temperature* ]]
	printf 'query,items,weights,temperature\nhow,tea,1,-1\n' > each.csv
	run -65 --separate-stderr hare-decode -p p -m d --per-record each.csv
	[[ "$stderr" == *'each.csv:2: column temperature: expected 0 or more, got -1'* ]]
}
@test "decode -m: --stop ends a text and is cut off; --max-tokens cuts it, at a word" {
	run -0 hare-decode -p p -m d --plain --stop ' seventy' a.csv
	[ "$output" = 'Green tea wants water of' ]
	hare-decode -p p -m d --stop ' seventy' --stop nothing a.csv > out.csv
	[[ "$(tail -1 out.csv)" == *,stop,* ]]
	hare-decode -p p -m d --max-tokens 4 a.csv > out.csv
	python out.csv <<-'PY'
	(r,) = rows
	assert r["finish_reason"] == "length" and int(r["tokens_out"]) == 4, r
	words = "Green tea wants water of seventy degrees.".split()
	assert r["output"].split() == words[:len(r["output"].split())], r
	PY
	run -64 --separate-stderr hare-decode -p p -m d --max-tokens 25 a.csv
	[[ "$stderr" == *'d: has places for texts of 24 tokens at most, 25 are asked for'* ]]
}
@test "decode -m: --faithful writes no word that is neither in the query nor in the items, function words apart" {
	hare-decode -p p -m d --faithful --temperature 3 --seed 2 z.csv > out.csv
	python out.csv <<-'PY'
	import re
	notes = {r["id"]: r for r in csv.DictReader(open("notes.csv"))}
	small = set("a about and as at before by for from i in is it just let my of on once or the to up with what how do you when takes need".split())
	for r in rows:
	    read = " ".join(notes[i]["text"] for i in r["items"].split()[:2]) + " " + r["query"]
	    known = set(re.findall(r"\w+", read.lower())) | small
	    new = [w for w in re.findall(r"\w+", r["output"].lower()) if w not in known]
	    assert r["output"] and not [w for w in new if len(w) > 4], (new, r)
	PY
}
@test "decode -m: without pool, and with nothing but a query; without user" {
	printf 'query\nhow warm\n""\n' > bare.csv
	for x in d given; do
		run -0 --separate-stderr hare-decode -m $x -J bare.csv
		[ "${#lines[@]}" -eq 2 ]
		[ -z "$stderr" ]
		echo "$output" | jq -e 'select(.output | length > 0)' > /dev/null
	done
	mlr --icsv --ocsv cut -x -f user z.csv > nobody.csv
	run -0 hare-decode -p p -s s -m given -J nobody.csv
	[ "${#lines[@]}" -eq 5 ]
	HARE_ENDPOINT=http://localhost:1 run -0 hare-decode -m d bare.csv
}
@test "decode -m: the user matters to a decoder that is given one" {
	for who in ann bob; do
		{ head -1 z.csv; for _ in $(seq 40); do sed -n "2s/^ann/$who/p" z.csv; done; } |
			hare-decode -p p -s s -m given -J --temperature 1 | jq -c .output > $who.out
	done
	run -1 cmp -s ann.out bob.out
	# without the state both are nobody
	sed 's/^ann/bob/' z.csv | hare-decode -p p -m given -J --temperature 1 | jq -c .output > bob.out
	hare-decode -p p -m given -J --temperature 1 z.csv | jq -c .output | cmp - bob.out
	run -65 --separate-stderr hare-decode -p p -s s -m given a.csv
	[[ "$stderr" == *'z'* ]]
	printf 'query,z,items,weights\nhow,1 2,tea,1\n' > short.csv
	run -65 --separate-stderr hare-decode -p p -m given short.csv
	[[ "$stderr" == *'short.csv:2: column z: expected 6 numbers, got 2'* ]]
}
@test "decode -m: a decoder of another space is refused with both named; columns that are missing, ids that are not there" {
	run -65 --separate-stderr hare-decode -p q -m given z.csv
	[[ "$stderr" == *'given: is of embedding space '*', but q is of '* ]]
	run -65 --separate-stderr hare-decode -p q -s s -m d z.csv
	[[ "$stderr" == *space* ]]
	for missing in items weights query; do
		mlr --icsv --ocsv cut -x -f $missing a.csv > less.csv
		run -65 --separate-stderr hare-decode -p p -m d less.csv
		[[ "$stderr" == *"$missing"* ]]
	done
	printf 'query,items,weights\nx,tea,1\ny,nobody,1\nz,bees,1\n' > bad.csv
	run -65 --separate-stderr hare-decode -p p -m d bad.csv
	[[ "$stderr" == *'bad.csv:3: column items: expected ids of p, got "nobody"'* ]]
	[ "${#lines[@]}" -eq 2 ]
	run -0 --separate-stderr hare-decode -p p -m d --skip-bad bad.csv
	[ "${#lines[@]}" -eq 3 ]
}
@test "decode -m: damaged decoders are told, with what is wrong" {
	for n in 0 7 100 5000; do
		head -c $n d > cut
		run -65 --separate-stderr hare-decode -p p -m cut a.csv
		[[ "$stderr" == *cut* ]]
		[ -z "$output" ]
	done
	head -c -1 d > cut
	run -65 hare-decode -p p -m cut a.csv
	run -66 hare-decode -p p -m nowhere a.csv
	run -65 hare-decode -p p -m m a.csv
	run -65 hare-decode -p p -m notes.csv a.csv
	/usr/bin/python3 - <<-'PY'
		import json, struct
		b = open("d", "rb").read()
		n, = struct.unpack("<Q", b[:8])
		def write(name, change):
		    h = json.loads(b[8:8 + n])
		    del h["checksum"]
		    for k in "hare", "version", "writer": h["__metadata__"].pop(k)
		    change(h)
		    end = max(v["data_offsets"][1] for k, v in h.items() if k != "__metadata__")
		    j = json.dumps(h).encode()
		    open(name, "wb").write(struct.pack("<Q", len(j)) + j + b[8 + n:8 + n + end])
		def ln(h): h["ln_f.bias.gone"] = h.pop("ln_f.bias")
		def shape(h): h["wpe.weight"]["shape"] = h["wpe.weight"]["shape"][::-1]
		write("no-ln", ln)
		write("turned", shape)
		c = bytearray(b)
		c[8 + n + 4000] ^= 1
		open("flipped", "wb").write(c)
	PY
	run -65 --separate-stderr hare-decode -p p -m no-ln a.csv
	[[ "$stderr" == *no-ln*ln_f.bias* ]]
	run -65 --separate-stderr hare-decode -p p -m turned a.csv
	[[ "$stderr" == *turned* ]]
	run -65 --separate-stderr hare-decode -p p -m flipped a.csv
	[[ "$stderr" == *flipped* ]]
}
@test "decode -m: bytes that are no UTF-8 come out as valid text, or not at all" {
	printf 'id,x,title,text\nbad,1 0 0 0 0 0,T\377\376,"\303\250 \200\200 text \377. More \360\237 here."\n' > bad.csv
	hare-pool build -m m -o badpool bad.csv
	printf 'query,items,weights\nhow \377\200 warm,bad,1\n' > in.csv
	for how in '' '--temperature 2' '--faithful'; do
		hare-decode -p badpool -m d $how in.csv --plain > out
		iconv -f UTF-8 -t UTF-8 out > /dev/null
		[ -s out ]
	done
}
@test "decode -m: a query that is too long is cut, which is told once; with -v of every record; with -q not at all" {
	long=$(for i in $(seq 60); do printf 'word%s ' $i; done)
	printf 'query,items,weights\n%s,tea coffee bees,.5 .3 .2\n%s,tea,1\n' "$long" "$long" > long.csv
	run -0 --separate-stderr hare-decode -p p -m d long.csv
	[ "$(wc -l <<< "$stderr")" -eq 1 ]
	[[ "$stderr" == *'long.csv:2: the query is longer than d reads: its last '*' tokens are cut off; -v tells of every such record' ]]
	run -0 --separate-stderr hare-decode -v -p p -m d long.csv
	[ "$(grep -c 'tokens are cut off$' <<< "$stderr")" -eq 2 ]
	[ "$(grep -c '1 lighter items are not read$' <<< "$stderr")" -eq 1 ]
	run -0 --separate-stderr hare-decode -q -p p -m d long.csv
	[ -z "$stderr" ]
}
@test "decode -m: --consensus: a text that beams end; the same alone and beside others, for any threads" {
	hare-decode -p p -m d --beam 4 --consensus 8 --threads 1 a.csv > one
	hare-decode -p p -m d --beam 4 --consensus 8 --threads 2 a.csv > two
	cmp one two
	[ "$(wc -l < one)" -eq "$(wc -l < a.csv)" ]
	run -1 grep -q ',$\|,""$' one
}
@test "decode -m: options that do not go together, or are for something else" {
	for wrong in '--blend' '--prompt' '--endpoint http://localhost:1' '--stream' '--cache c' '--system x' '--beam 2 --temperature 1' '--beam 65' '--consensus 4 --beam 1' '--consensus 4 --top-k 2' '--consensus 2000' \
		'--temperature -1' '--top-p 0' '--repetition-penalty 0' '--seed x' '--jobs 0' '--dry-run'; do
		run -64 --separate-stderr hare-decode -p p -m d $wrong a.csv
		[ -z "$output" ]
		[ -n "$stderr" ]
	done
	for wrong in '--beam 2' '--consensus 2' '--top-k 3' '--faithful' '--per-record' '--repetition-penalty 1.2' '--max-tokens 3'; do
		run -64 hare-decode -p p $wrong a.csv
	done
	run -74 sh -c 'hare-decode -p p -m d a.csv > /dev/full'
}
@test "decode -m: a published GPT-2 checkpoint goes on from items and query as plain text; without its vocabulary it is refused" {
	mkdir -p gpt2
	/usr/bin/python3 - <<-'PY'
		import json, random, struct
		random.seed(2)
		dim, n_place = 64, 240
		letters = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b <= 255]
		name, n = {b: chr(b) for b in letters}, 0
		for b in range(256):
		    if b not in name:
		        name[b] = chr(256 + n); n += 1
		vocab = {name[b]: i for i, b in enumerate(range(256))}
		vocab["<|endoftext|>"] = 256
		json.dump(vocab, open("gpt2/vocab.json", "w"))
		open("gpt2/merges.txt", "w").write("#version: 0.2\n")
		shapes = {"wte.weight": [257, dim], "wpe.weight": [n_place, dim], "ln_f.weight": [dim], "ln_f.bias": [dim]}
		for part, shape in (("ln_1", [dim]), ("ln_2", [dim])):
		    shapes["h.0." + part + ".weight"], shapes["h.0." + part + ".bias"] = shape, shape
		for part, a, b in (("attn.c_attn", dim, 3 * dim), ("attn.c_proj", dim, dim), ("mlp.c_fc", dim, 4 * dim), ("mlp.c_proj", 4 * dim, dim)):
		    shapes["h.0." + part + ".weight"], shapes["h.0." + part + ".bias"] = [a, b], [b]
		header, data = {}, b""
		for k, shape in shapes.items():
		    n = 1
		    for s in shape: n *= s
		    x = [1.0] * n if k.endswith("ln_f.weight") or ".ln_" in k and k.endswith("weight") else [random.gauss(0, .1) for _ in range(n)]
		    header[k] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * n]}
		    data += struct.pack("<%df" % n, *x)
		j = json.dumps(header).encode()
		open("gpt2/model.safetensors", "wb").write(struct.pack("<Q", len(j)) + j + data)
	PY
	run -0 --separate-stderr hare-decode -p p -s s -m gpt2/model.safetensors -J --max-tokens 20 z.csv
	[ "${#lines[@]}" -eq 5 ]
	echo "$output" | jq -e 'select(.output | length > 0)' | grep -c '"output"' | grep -qx 5
	long=$(for i in $(seq 60); do printf "word%s " $i; done)
	printf "query,items,weights\n$long,tea coffee bees soup,.4 .3 .2 .1\n" > long.csv
	run -0 --separate-stderr hare-decode -q -p p -m gpt2/model.safetensors -J --max-tokens 110 long.csv
	[ "$(echo "$output" | jq -r .tokens_in)" -le 130 ]
	run -64 hare-decode -q -p p -m gpt2/model.safetensors --max-tokens 121 long.csv
	hare-decode -m gpt2/model.safetensors --max-tokens 20 --temperature 1 <(printf 'query\n""\n') > /dev/null
	rm gpt2/vocab.json
	run -65 --separate-stderr hare-decode -p p -m gpt2/model.safetensors a.csv
	[[ "$stderr" == *'gpt2/model.safetensors: has no vocabulary'* ]]
}
@test "distil: the same records and seed give the same bytes, whatever the threads; another seed others" {
	few=(--text-columns text --layers 1 --dim 16 --heads 2 --tokens 300 --items 2 --item-tokens 16 --text-tokens 16 --steps 5 --batch 4)
	hare-train distil -q -p p -o one "${few[@]}" --threads 1 answered.csv
	hare-train distil -q -p p -o two "${few[@]}" --threads 2 < answered.csv
	cmp one two
	hare-train distil -q -p p -o two "${few[@]}" --seed 1 answered.csv
	run -1 cmp -s one two
}
@test "distil: silent; -v tells how well; records without answer, with ids that are not there, none at all" {
	few=(--layers 1 --dim 16 --heads 2 --tokens 300 --steps 2 --batch 4 -o out)
	run -0 --separate-stderr hare-train distil -p p "${few[@]}" answered.csv
	[ -z "$output$stderr" ]
	run -0 --separate-stderr hare-train distil -v -p p "${few[@]}" --held-out .2 answered.csv
	[[ "$stderr" == *'40 records, '*'held out: loss '*' a token, over 8 records'* ]]
	printf 'query,items,weights,output\nx,tea,1,\n' > bad.csv
	run -65 --separate-stderr hare-train distil -p p "${few[@]}" bad.csv
	[[ "$stderr" == *'bad.csv:2: column output: expected an answer to learn, got nothing'* ]]
	printf 'query,items,weights,output\nx,nobody,1,yes\n' > bad.csv
	run -65 --separate-stderr hare-train distil -p p "${few[@]}" bad.csv
	[[ "$stderr" == *'bad.csv:2: column items: no item "nobody" in the pool'* ]]
	printf 'query,items,weights,output\nx,tea bees,1,yes\n' > bad.csv
	run -65 --separate-stderr hare-train distil -p p "${few[@]}" bad.csv
	[[ "$stderr" == *'column weights'* ]]
	run -65 hare-train distil -p p "${few[@]}" <(head -1 answered.csv)
	run -64 hare-train distil -p p answered.csv
	run -64 hare-train distil -o out answered.csv
	run -64 hare-train distil -p p -o out --dim 7 --heads 2 answered.csv
}
