#!/usr/bin/env bats
# hare-embed in pipes
bats_require_minimum_version 1.5.0
load server

setup_file() {
	cd "$BATS_FILE_TMPDIR"
	server_start
	skills=$BATS_TEST_DIRNAME/data/skills.csv
	hare-embed fit -o skills.model -c title,description "$skills"
	cat > glove.txt <<-'EOF'
	the 0.1 0.9 0.1 0.1
	test 1 0.2 0 0.5
	tests 0.9 0.1 0.1 0.4
	Write 0.3 0.3 0.8 -0.1
	write 0.2 0.4 0.7 -0.2
	Café 0.1 -0.2 0.3 0.4
	new_york 1 1 1 1
	. . . 0.5 0.5 0.5 0.5
	unit 0.7 0.1 0.2 -0.6
	password -0.8 0.4 0.2 0.1
	EOF
	printf 'text\nwrite the test\nthe tests the unit\n"password, the test"\nunknownword\n' > words.csv
	export skills
}
teardown_file() { server_stop; }

setup() {
	cd "$BATS_TEST_TMPDIR"
	f=$BATS_FILE_TMPDIR
	model=$f/skills.model
}

# helpers for Python: tensors of a MODEL, and vectors of the last column of a CSV
python() { /usr/bin/python3 -c "
import csv, json, struct, sys
import numpy as np
csv.field_size_limit(1 << 30)
def model(path):
    b = open(path, 'rb').read()
    n = struct.unpack('<Q', b[:8])[0]
    h = json.loads(b[8:8 + n])
    kind = {'F32': 'f4', 'U8': 'u1', 'U32': 'u4', 'U64': 'u8'}
    m = {k: np.frombuffer(b[8 + n + v['data_offsets'][0]:8 + n + v['data_offsets'][1]], kind[v['dtype']]).reshape(v['shape'])
         for k, v in h.items() if k != '__metadata__'}
    if 'term_bytes' in m:
        raw, s = m['term_bytes'].tobytes(), m['term_start']
        m['terms'] = [raw[s[i]:s[i + 1]].decode() for i in range(len(s) - 1)]
    return m, h['__metadata__']
def vectors(path, column='x'):
    return np.array([[float(v) for v in r[column].split()] for r in csv.DictReader(open(path, newline=''))], dtype='f4')
def unit(x):
    n = np.linalg.norm(x, axis=-1, keepdims=True)
    return x / np.where(n > 0, n, 1)
$1" "${@:2}"; }

@test "every row passes with a unit vector behind it; nothing is said" {
	printf 'id,text,note\n1,write unit tests,"a, ""b"""\n2,test the form, x \n' > t.csv
	run -0 --separate-stderr hare-embed -m "$model" t.csv
	[ "${lines[0]}" = 'id,text,note,x' ]
	[[ "${lines[1]}" == '1,write unit tests,"a, ""b""",'* ]]
	[[ "${lines[2]}" == '2,test the form, x ,'* ]]
	[ "${#lines[@]}" -eq 3 ]
	[ -z "$stderr" ]
	echo "$output" > out.csv
	run -0 python 'x = vectors("out.csv"); print(x.shape, np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5))'
	[ "$output" = '(2, 24) True' ]
}

@test "words of requests and grammar make no terms, nor pairs with one, unless asked to" {
	hare-embed fit -o without -c title,description "$skills"
	hare-embed fit -o with --stop-words none -c title,description "$skills"
	run -0 python '
without, with_ = (set(model(p)[0]["terms"]) for p in ("without", "with"))
stop = {"the", "of", "and", "is", "how", "need", "help"}
print(not [t for t in without if stop & set(t.split())], len([t for t in with_ if stop & set(t.split())]) > 50, "tests" in without)'
	[ "$output" = 'True True True' ]
	run -0 --separate-stderr hare-embed -m without <<< $'text\nplease help me with this'
	[[ "${lines[1]}" == 'please help me with this,0 0 0'* ]]
	[[ "$stderr" == *'no known word'* ]]
}

@test "a word weighs a power of its idf, one for few texts and two for many, and a pair half of that" {
	hare-embed fit -o plain -d 20 --idf-power 1 --pair-weight 1 -c title,description "$skills"
	hare-embed fit -o few -d 20 -c title,description "$skills"
	run -0 python '
one, few = model("plain")[0], model("few")[0]
factor = np.array([.5 if " " in t else 1 for t in one["terms"]])
print(np.allclose(few["term_weight"], one["term_weight"] * factor, rtol=1e-5))'
	[ "$output" = True ]
	hare-embed fit -o squared -d 20 --idf-power 2 -c title,description "$skills"
	run -0 python '
one, two = model("plain")[0], model("squared")[0]
factor = np.array([.5 if " " in t else 1 for t in one["terms"]])
print(one["terms"] == two["terms"], min(factor), max(factor), np.allclose(two["term_weight"], one["term_weight"] ** 2 * factor, rtol=1e-5))'
	[ "$output" = 'True 0.5 1.0 True' ]
	run -64 hare-embed fit -o m --idf-power -2 "$skills"
	run -64 hare-embed fit -o m --pair-weight -1 "$skills"
}

@test "terms, weights, components and vectors are those of scikit-learn and a dense SVD" {
	/usr/bin/python3 -c 'import sklearn' 2> /dev/null || skip "python3-sklearn is not installed"
	hare-embed fit -o m -d 20 --min-df 3 --max-df .4 --idf-power 1 --pair-weight 1 --stop-words none -c title,description "$skills"
	hare-embed -m m -c title,description "$skills" > x.csv
	run -0 python '
from sklearn.feature_extraction.text import TfidfVectorizer
m, meta = model("m")
texts = [r["title"] + "\n" + r["description"] for r in csv.DictReader(open(sys.argv[1], newline=""))]
words = lambda s: "".join(c if c.isalnum() else " " for c in s.lower().replace(chr(39), "")).split()
v = TfidfVectorizer(tokenizer=words, token_pattern=None, lowercase=False, ngram_range=(1, 2), sublinear_tf=True, min_df=3, max_df=.4)
a = v.fit_transform(texts).toarray()
order = sorted(v.vocabulary_, key=lambda t: t.encode())
a = a[:, [v.vocabulary_[t] for t in order]]
print("terms", m["terms"] == order, len(order) > 200)
print("idf", np.abs(m["term_weight"] - np.array([v.idf_[v.vocabulary_[t]] for t in order])).max() < 1e-5)
u, s, vt = np.linalg.svd(a, full_matrices=False)
print("captured", (np.linalg.norm(a @ m["components"]) ** 2 / (s[:20] ** 2).sum()) > .995)
# the components span the exact ones but for the last, which hardly differ from what follows them
angles = np.linalg.svd(vt[:10] @ m["components"])[1]
print("angles", angles.min() > .99)
print("share", abs(float(meta["variance_share"]) - (s[:20] ** 2).sum() / len(texts)) < 2e-3)
x = unit(a @ m["components"])
print("x", np.abs(x - vectors("x.csv")).max() < 1e-5)
' "$skills"
	[ "$output" = 'terms True True
idf True
captured True
angles True
share True
x True' ]
}

@test "the same seed gives the same bytes with one thread and with three; another seed another space" {
	hare-embed fit --threads 1 -o one -c title,description "$skills"
	hare-embed fit --threads 3 -o three -c title,description "$skills"
	hare-embed fit --seed 1 -o other -c title,description "$skills"
	cmp one three
	cmp one "$model"
	run -0 python 'print(model("one")[1]["space"] == model("three")[1]["space"], model("one")[1]["space"] == model("other")[1]["space"])'
	[ "$output" = 'True False' ]
}

@test "a text has the same vector alone, one at a time, in bulk, and with any number of threads" {
	hare-embed -m "$model" -c title,description --threads 1 "$skills" > one.csv
	hare-embed -m "$model" -c title,description --threads 3 "$skills" > three.csv
	hare-embed -m "$model" -c title,description -u "$skills" > unbuffered.csv
	cmp one.csv three.csv
	cmp one.csv unbuffered.csv
	printf 'text\nwrite tests\nrotate keys\n' | hare-embed -m "$model" > both.csv
	{ printf 'text\n'; sleep .1; printf 'write tests\n'; sleep .1; printf 'rotate keys\n'; } | hare-embed -m "$model" > slow.csv
	cmp both.csv slow.csv
	printf 'text\nrotate keys\n' | hare-embed -m "$model" | tail -n 1 > alone.csv
	[ "$(tail -n 1 both.csv)" = "$(cat alone.csv)" ]
}

@test "an answer does not wait for the next question" {
	mkfifo q
	hare-embed -m "$model" < q > a.csv &
	exec 7> q
	printf 'text\nwrite tests\n' >&7
	for _ in $(seq 100); do [ "$(wc -l < a.csv)" -eq 2 ] && break; sleep .05; done
	[ "$(wc -l < a.csv)" -eq 2 ]
	exec 7>&-
	wait $!
}

@test "composed, decomposed and folded spellings have one vector" {
	printf 'text\ncaf\303\251 na\303\257ve stra\303\237e\nCAFE\314\201 nai\314\210ve STRASSE\nother words here\ncaf\303\251 words\n' > t.csv
	hare-embed fit -o m t.csv
	printf 'text\ncaf\303\251 stra\303\237e\ncafe\314\201 Strasse\nCaf\303\211: STRA\341\272\236E!\n' | hare-embed -m m > x.csv
	run -0 python 'x = vectors("x.csv"); print((x[0] == x[1]).all(), (x[0] == x[2]).all(), np.abs(x[0]).max() > 0)'
	[ "$output" = 'True True True' ]
}

@test "a text without a known word is zero, counted and said; -q does not say it" {
	printf 'text\nwrite tests\nqzx\n""\n"\360\237\230\200"\n' > t.csv
	run -0 --separate-stderr hare-embed -m "$model" t.csv
	[ "$stderr" = 'hare-embed: 3 of 4 texts have no known word (zero vector)' ]
	echo "$output" > x.csv
	run -0 python 'x = vectors("x.csv"); print((x[1:] == 0).all(), np.isfinite(x).all())'
	[ "$output" = 'True True' ]
	run -0 --separate-stderr hare-embed -q -m "$model" t.csv
	[ -z "$stderr" ]
}

@test "columns are joined by a line end, in the order of -c" {
	printf 'a,b,text\nwrite,tests,"write\ntests"\n' > t.csv
	hare-embed -m "$model" -c a,b -o y t.csv | hare-embed -m "$model" > x.csv
	run -0 python 'print((vectors("x.csv") == vectors("x.csv", "y")).all())'
	[ "$output" = True ]
}

@test "--npy, -J, -T and --vec b64 tell the same numbers" {
	head -n 30 "$skills" > t.csv
	hare-embed -m "$model" -c title,description --npy x.npy t.csv > x.csv
	hare-embed -m "$model" -c title,description -J t.csv > x.json
	hare-embed -m "$model" -c title,description --vec b64 t.csv > b.csv
	printf 'text\twrong\nwrite tests\tx\n' | hare-embed -T -m "$model" > x.tsv
	printf 'text\nwrite tests\n' | hare-embed -m "$model" > y.csv
	run -0 python '
import base64
x, n = vectors("x.csv"), np.load("x.npy")
j = np.array([json.loads(l)["x"] for l in open("x.json")], dtype="f4")
b = np.array([np.frombuffer(base64.b64decode(r["x"][4:]), "<f4") for r in csv.DictReader(open("b.csv", newline=""))])
t = np.array([float(v) for v in open("x.tsv").read().splitlines()[1].split("\t")[2].split()], dtype="f4")
print(n.dtype, (x == n).all(), (x == j).all(), (x == b).all(), (t == vectors("y.csv")[0]).all())'
	[ "$output" = 'float32 True True True True' ]
}

@test "x is there already: an error, unless it is to be replaced; -o names another" {
	printf 'text,x\nwrite tests,1 2\n' > t.csv
	run -65 --separate-stderr hare-embed -m "$model" t.csv
	[[ "$stderr" == *x* ]]
	run -0 hare-embed -m "$model" --overwrite t.csv
	[ "${lines[0]}" = text,x ]
	run -0 hare-embed -m "$model" -o v t.csv
	[ "${lines[0]}" = text,x,v ]
	run -0 hare-embed -q -m "$model" --col text=x,x=w t.csv
	[ "${lines[0]}" = text,x,w ]
}

@test "few texts are enough: dimensions and clusters are as many as they bear" {
	printf 'text\nred apple\ngreen apple\nred wine\n' > t.csv
	run -0 --separate-stderr hare-embed fit -v -o m t.csv
	[[ "$stderr" == *'3 texts, 4 terms, 3 numbers in a vector, 1 clusters'* ]]
	printf 'text\none lone text\n' | hare-embed fit -o m
	run -0 hare-embed -m m t.csv --quiet
	[ "${lines[1]}" = 'red apple,0' ]
	printf 'text\nalike\nalike\nalike\n' | hare-embed fit --clusters 3 -o m
	run -0 python 'm, meta = model("m"); print(meta["dim"], meta["n_cluster"])'
	[ "$output" = '1 1' ]
}

@test "--terms, --min-df, --max-df and --no-bigrams choose the vocabulary" {
	printf 'text\na b c\na b\na d\na b e\n' > t.csv
	hare-embed fit --stop-words none -q -o m --min-df 2 --max-df .75 t.csv
	hare-embed fit --stop-words none -o n --no-bigrams t.csv
	hare-embed fit --stop-words none -o o --terms 3 t.csv
	hare-embed fit --stop-words none -o p --terms 4 t.csv
	run -0 python 'print([model(p)[0]["terms"] for p in "mnop"])'
	[ "$output" = "[['a b', 'b'], ['a', 'b', 'c', 'd', 'e'], ['a', 'a b', 'b'], ['a', 'a b', 'b', 'c']]" ]
}

@test "the mean and the clusters are those of the texts' own vectors" {
	hare-embed -m "$model" -c title,description "$skills" > x.csv
	run -0 python '
m, meta = model(sys.argv[1])
x = vectors("x.csv")
print("mean", np.abs(x.mean(axis=0) - m["mean"]).max() < 1e-6)
c = m["centre"]
print("unit", np.allclose(np.linalg.norm(c, axis=1), 1, atol=1e-5), c.shape == (len(x) // 8, 24))
# k-means stands still: each centre is the direction of the sum of its texts
of = (x @ c.T).argmax(axis=1)
print("still", np.mean([np.dot(unit(x[of == k].sum(axis=0)), c[k]) for k in set(of)]) > .999)' "$model"
	[ "$output" = 'mean True
unit True True
still True' ]
}

# -- word vectors --

@test "--vectors: SIF weights and the common component, as computed by hand" {
	hare-embed fit --vectors "$f/glove.txt" -o m "$f/words.csv"
	hare-embed -q -m m "$f/words.csv" > x.csv
	run -0 python '
rows = [l.split() for l in open(sys.argv[1]) if l[0] not in ".WnC"]
v = {r[0]: np.array(r[1:], dtype=float) for r in rows}
texts = [["write", "the", "test"], ["the", "tests", "the", "unit"], ["password", "the", "test"], ["unknownword"]]
all = sum(texts, [])
p = {w: all.count(w) / len(all) for w in all}
y = np.array([sum((1e-3 / (1e-3 + p[w]) * v[w] for w in t if w in v), np.zeros(4)) / len(t) for t in texts])
u = np.linalg.svd(y)[2][0]
want = unit(y - np.outer(y @ u, u))
print(np.abs(want - vectors("x.csv")).max() < 1e-5, model("m")[1]["source"], "new_york" in model("m")[0]["terms"])' "$f/glove.txt"
	[ "$output" = 'True vectors False' ]
}

@test "--vectors: word2vec text and binary and gzip give the same model but for its name" {
	grep -v '^\. ' "$f/glove.txt" > glove.txt
	{ echo "$(wc -l < glove.txt) 4"; sed 's/$/ /' glove.txt; } > w2v.txt
	python '
rows = [l.split() for l in open("glove.txt")]
with open("w2v.bin", "wb") as b:
    b.write(b"%d 4\n" % len(rows))
    for r in rows:
        b.write(r[0].encode() + b" " + np.array(r[1:], dtype="<f4").tobytes() + b"\n")'
	gzip -k w2v.bin
	for v in glove.txt w2v.txt w2v.bin w2v.bin.gz; do
		hare-embed fit --vectors $v -o $v.model "$f/words.csv"
	done
	run -0 python 'print(len({model(v + ".model")[1]["space"] for v in ("glove.txt", "w2v.txt", "w2v.bin", "w2v.bin.gz")}))'
	[ "$output" = 1 ]
}

@test "--vectors: words of the file that the texts lack are kept up to --terms, and are known later" {
	hare-embed fit --vectors "$f/glove.txt" --terms 100 -o many "$f/words.csv"
	hare-embed fit --vectors "$f/glove.txt" --terms 1 -o few "$f/words.csv"
	run -0 python 'print(model("many")[0]["terms"]); print(model("few")[0]["terms"])'
	[ "${lines[0]}" = "['café', 'password', 'test', 'tests', 'the', 'unit', 'write']" ]
	[ "${lines[1]}" = "['password', 'test', 'tests', 'the', 'unit', 'write']" ]
}

@test "--vectors: what is wrong with the file is told with its line" {
	printf 'a 1 2 3\nb 1 2\n' > v; run -65 --separate-stderr hare-embed fit --vectors v -o m "$f/words.csv"
	[ "$stderr" = 'hare-embed: v:2: expected a word and 3 numbers, got 3 fields' ]
	printf 'a 1 2 3\nb 1 2 3 4\n' > v; run -65 --separate-stderr hare-embed fit --vectors v -o m "$f/words.csv"
	[ "$stderr" = 'hare-embed: v:2: expected a word and 3 numbers, got 5 fields' ]
	printf 'a 1 2 3\nb 1 nan 3\n' > v; run -65 --separate-stderr hare-embed fit --vectors v -o m "$f/words.csv"
	[ "$stderr" = 'hare-embed: v:2: "nan" is not a number' ]
	printf '2 3\na 1 2 3\nb 1 x 3\n' > v; run -65 --separate-stderr hare-embed fit --vectors v -o m "$f/words.csv"
	[ "$stderr" = 'hare-embed: v:3: "x" is not a number' ]
	printf '3 3\nthe 1 2 3\ntest 1 2 3\n' > v; run -65 --separate-stderr hare-embed fit --vectors v -o m "$f/words.csv"
	[ "$stderr" = 'hare-embed: v: expected 3 words as its first line says, got 2' ]
	printf '2 2\nthe \0\0\200\077\0\0\200\077\ntest \0\0\200\077\0\0' > v; run -65 --separate-stderr hare-embed fit --vectors v -o m "$f/words.csv"
	[ "$stderr" = 'hare-embed: v: ends at word 2 of 2' ]
	printf '1 1\nthe \0\0\300\177\n' > v; run -65 --separate-stderr hare-embed fit --vectors v -o m "$f/words.csv"
	[ "$stderr" = 'hare-embed: v: word 1 "the": number 1 is not finite' ]
	: > v; run -65 --separate-stderr hare-embed fit --vectors v -o m "$f/words.csv"
	[ "$stderr" = 'hare-embed: v: expected word vectors, got an empty file' ]
	printf 'zebra 1 2 3\n' > v; run -65 --separate-stderr hare-embed fit --vectors v -o m "$f/words.csv"
	[ "$stderr" = 'hare-embed: v: no word of the 4 texts is in it' ]
	run -65 --separate-stderr hare-embed fit --vectors "$f/glove.txt" -d 5 -o m "$f/words.csv"
	[ "$stderr" = "hare-embed: $f/glove.txt: the vectors have 4 numbers, asked for were 5" ]
	run -66 hare-embed fit --vectors . -o m "$f/words.csv"
	run -66 hare-embed fit --vectors none -o m "$f/words.csv"
	{ printf test; printf ' 0%.0s' $(seq 65537); echo; } > v; run -65 --separate-stderr hare-embed fit --vectors v -o m "$f/words.csv"
	[ "$stderr" = 'hare-embed: v:1: expected vectors of at most 65536 numbers, got 65537' ]
	[ ! -e m ]
}

# -- a server --

@test "--endpoint: the vectors are the server's, of unit length; blank texts are not sent" {
	printf 'text\nabba\n   \nbanana\n""\nx\n' > t.csv
	hare-embed fit -q --endpoint "$url" -o m t.csv
	hare-embed -q -m m t.csv > x.csv
	run -0 python '
texts = [r["text"] for r in csv.DictReader(open("t.csv", newline=""))]
want = np.array([[len(t), t.count("a"), 1] if t.strip() else [0, 0, 0] for t in texts], dtype=float)
m, meta = model("m")
print(np.abs(unit(want) - vectors("x.csv")).max() < 1e-6, meta["source"], meta["dim"], meta["endpoint_model"], meta["endpoint_url"] == sys.argv[1])
print(np.abs(unit(want).mean(axis=0) - m["mean"]).max() < 1e-6)' "$url"
	[ "$output" = 'True endpoint 3 ok True
True' ]
}

@test "--endpoint: many texts go in several requests and come back in order" {
	{ echo text; for i in $(seq 200); do printf 'a%.0s' $(seq $((i % 17 + 1))); echo " $i"; done; } > t.csv
	hare-embed fit --endpoint "$url" --endpoint-model shuffled --clusters 2 -o m t.csv
	hare-embed -m m t.csv > x.csv
	run -0 python '
texts = [r["text"] for r in csv.DictReader(open("t.csv", newline=""))]
print(np.abs(unit(np.array([[len(t), t.count("a"), 1] for t in texts], dtype=float)) - vectors("x.csv")).max() < 1e-6)'
	[ "$output" = True ]
}

@test "--endpoint: another model than that of the fit is an error; a failing server is 69" {
	printf 'text\nabba\nbanana\n' > t.csv
	hare-embed fit --endpoint "$url" --endpoint-model base64 -o m t.csv
	run -65 --separate-stderr hare-embed -m m --endpoint-model ok t.csv
	[ "$stderr" = "hare-embed: m: was fitted with the server's model base64, asked is ok" ]
	run -65 --separate-stderr hare-embed -m "$model" --endpoint "$url" t.csv
	[[ "$stderr" == *'makes its vectors itself (tfidf), not by a server' ]]
	run -69 hare-embed fit --endpoint "$url" --endpoint-model nan -o n t.csv
	run -69 hare-embed fit --endpoint "$url" --endpoint-model count -o n t.csv
	run -69 hare-embed fit --endpoint http://127.0.0.1:1 --tries 1 --endpoint-model ok -o n t.csv
	[ ! -e n ]
	run -64 hare-embed fit --endpoint "$url" --vectors "$f/glove.txt" -o n t.csv
}

# -- what may be wrong --

@test "usage: what is missing or no value is said, 64" {
	run -64 --separate-stderr hare-embed t.csv
	[ "${stderr_lines[0]}" = 'hare-embed: -m MODEL is missing' ]
	run -64 --separate-stderr hare-embed fit t.csv
	[[ "${stderr_lines[0]}" == *'-o MODEL is missing' ]]
	run -64 hare-embed fit -o m -d twelve t.csv
	run -64 hare-embed fit -o m --max-df 1.5 t.csv
	run -64 hare-embed fit -o m --terms 0 t.csv
	run -64 hare-embed -m "$model" --color t.csv
	HARE_MODEL=$model run -0 hare-embed < <(printf 'text\n')
	[ "$output" = text,x ]
}

@test "a header alone: apply passes it on, fit has nothing to learn from; no header is an error" {
	printf 'text\n' > t.csv
	run -0 --separate-stderr hare-embed -m "$model" t.csv
	[ "$output" = text,x ]
	[ -z "$stderr" ]
	run -65 --separate-stderr hare-embed fit -o m t.csv
	[ "$stderr" = 'hare-embed: there is no text to learn from, only a header' ]
	printf 'text\n. - !\n""\n' > t.csv
	run -65 --separate-stderr hare-embed fit -o m t.csv
	[ "$stderr" = 'hare-embed: none of the 2 texts has a word' ]
	printf 'text\none\ntwo\n' > t.csv
	run -65 --separate-stderr hare-embed fit --min-df 2 -o m t.csv
	[ "$stderr" = 'hare-embed: no word is in at least 2 and at most 2 of the 2 texts (--min-df, --max-df)' ]
	run -65 hare-embed fit -o m /dev/null
	run -65 hare-embed -m "$model" /dev/null
	[ ! -e m ]
}

@test "a missing column is named with those that are there" {
	printf 'id,title\n1,x\n' > t.csv
	run -65 --separate-stderr hare-embed -m "$model" t.csv
	[ "$stderr" = 'hare-embed: t.csv: no column "text": the columns are id, title' ]
	run -65 --separate-stderr hare-embed fit -o m -c title,body t.csv
	[ "$stderr" = 'hare-embed: t.csv: no column "body": the columns are id, title' ]
}

@test "a ragged row stops at its line, or is skipped and counted; rows before it come out" {
	printf 'text,n\nwrite tests,1\nbad\nrotate keys,2\n' > t.csv
	run -65 --separate-stderr hare-embed -m "$model" t.csv
	[ "${#lines[@]}" -eq 2 ]
	[[ "$stderr" == 'hare-embed: t.csv:3: '* ]]
	run -0 --separate-stderr hare-embed --skip-bad -m "$model" t.csv
	[ "${#lines[@]}" -eq 3 ]
	[[ "$stderr" == *'1 bad row skipped'* ]]
	run -65 hare-embed fit -o m t.csv
	[ ! -e m ]
	printf 'text\n"open\n' > t.csv
	run -65 hare-embed -m "$model" t.csv
}

@test "BOM, CRLF, NUL, invalid UTF-8 and a megabyte in a cell do no harm" {
	printf '\357\273\277text\r\nwrite tests\r\n' > t.csv
	printf 'text\nwrite tests\n' > u.csv
	[ "$(hare-embed -m "$model" t.csv | tail -n 1)" = "$(hare-embed -m "$model" u.csv | tail -n 1)" ]
	printf 'text\nwrite\0tests\nwrite \377 tests\n' > t.csv
	hare-embed -m "$model" t.csv > x.csv
	run -0 /usr/bin/python3 -c 'rows = open("x.csv", "rb").read().splitlines()[1:]; print(rows[0].split(b",")[1] == rows[1].split(b",")[1])'
	[ "$output" = True ]
	{ printf 'text\n'; head -c 1000000 /dev/zero | tr '\0' a; printf ' write tests\n'; } > t.csv
	hare-embed -m "$model" t.csv | tail -n 1 | cut -d, -f2 > long
	hare-embed -m "$model" u.csv | tail -n 1 | cut -d, -f2 > short
	cmp long short
	hare-embed fit -o m t.csv
}

@test "a MODEL that is cut, altered, of another kind or not there is refused, and named" {
	printf 'text\nx\n' > t.csv
	run -66 --separate-stderr hare-embed -m none t.csv
	[[ "$stderr" == 'hare-embed: none: '* ]]
	run -66 hare-embed -m . t.csv
	run -65 hare-embed -m t.csv t.csv
	head -c 100000 "$model" > cut
	run -65 --separate-stderr hare-embed -m cut t.csv
	[[ "$stderr" == 'hare-embed: cut: '* ]]
	size=$(stat -c %s "$model")
	for at in 3 20 300 $((size / 3)) $((size / 2)) $((size - 5)); do
		cp "$model" bad
		/usr/bin/python3 -c 'import sys
f = open("bad", "r+b"); f.seek(int(sys.argv[1])); b = f.read(1)[0]; f.seek(int(sys.argv[1])); f.write(bytes([b ^ 4]))' $at
		run -65 --separate-stderr hare-embed -m bad t.csv
		[[ "$stderr" == 'hare-embed: bad: '* ]]
	done
}

@test "asking for more dimensions or threads than there can be is asking for all" {
	hare-embed fit -o all -d 5000 --min-df 9 -c title,description "$skills"
	hare-embed fit -o m -d 18446744073709551615 --min-df 9 -c title,description "$skills"
	cmp all m
	hare-embed fit -o m -d 5000 --min-df 9 --threads 18446744073709551615 -c title,description "$skills"
	cmp all m
	hare-embed -m m -c title,description "$skills" > one
	hare-embed -m m --threads 18446744073709551615 -c title,description "$skills" > other
	cmp one other
}

@test "numbers too large for a sum give a zero vector, not a NaN" {
	printf 'alpha 3e38 3e38\nbeta 3e38 -3e38\n' > v
	printf 'text\nalpha beta\n' | hare-embed fit --vectors v -o m
	{ echo text; printf 'alpha %.0s' {1..1000}; echo; } > t.csv
	run -0 --separate-stderr hare-embed -m m t.csv
	[[ "${lines[1]}" == *',0 0' ]]
	[ "$stderr" = 'hare-embed: 1 of 1 texts have no known word (zero vector)' ]
}

@test "with stdout closed, records go into no other file" {
	for i in {1..4000}; do echo "write tests $i"; done | sed '1i text' > t.csv
	run -74 --separate-stderr sh -c "hare-embed -m '$model' --npy x.npy < t.csv >&-"
	[ "$stderr" = 'hare-embed: stdout: Bad file descriptor' ]
	[ ! -e x.npy ]
	run -74 --separate-stderr sh -c "hare-embed -m '$model' <&-"
	[ "$stderr" = 'hare-embed: stdin: Bad file descriptor' ]
}

@test "a full disk is an error, a closed pipe is quiet, and a failed fit leaves the old file" {
	printf 'text\nwrite tests\n' > t.csv
	run -74 sh -c "hare-embed -m '$model' t.csv > /dev/full"
	run -0 --separate-stderr bash -c "set -o pipefail; hare-embed -m '$model' -c title,description '$skills' '$skills' '$skills' '$skills' | head -n 1 || [ \$? -eq 141 ]"
	[ -z "$stderr" ]
	echo old > m
	run -65 hare-embed fit --min-df 9 -o m t.csv
	[ "$(cat m)" = old ]
	run -66 --separate-stderr hare-embed fit -o none/m t.csv
	[ "$stderr" = 'hare-embed: none/m: cannot write: No such file or directory' ]
	# before anything is read
	run -66 --separate-stderr hare-embed fit -o none/m missing.csv
	[ "$stderr" = 'hare-embed: none/m: cannot write: No such file or directory' ]
	run -75 bash -c "ulimit -f 8; hare-embed fit -o m -c title,description '$skills'"
	[ "$(cat m)" = old ]
	[ "$(ls -A | grep -v separate-stderr)" = "$(printf 'm\nt.csv')" ]
}
