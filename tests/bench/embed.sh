#!/bin/sh
# hare-embed: fit and transform as whole processes, CSV to CSV; peak memory; captured variance; scikit-learn beside it.
# usage: BUILD=build DATA=folder tests/bench/embed.sh     DATA (or DATA/debian) holds pool.csv.gz: id,title,text
# Needs /usr/bin/python3 for the clock; the comparison needs its sklearn, scipy and pandas.
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
data=
for f in "${DATA:-}/pool.csv.gz" "${DATA:-}/debian/pool.csv.gz"; do [ -n "${DATA:-}" ] && [ -e "$f" ] && data=$f && break; done
[ -n "$data" ] || { echo "bench failed: DATA names no folder with pool.csv.gz"; exit 0; }
[ -x /usr/bin/python3 ] || { echo "bench failed: /usr/bin/python3 is not installed"; exit 0; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
gzip -dc "$data" > "$dir/pool.csv"

# The same in Python: what a user of scikit-learn would write.
cat > "$dir/sk.py" <<'EOF'
import pickle, sys, time
import numpy as np, pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize
verb, words = sys.argv[1], int(sys.argv[2])
d = pd.read_csv("pool.csv", dtype=str, keep_default_na=False)
texts = (d.title + "\n" + d.text).tolist()
t = time.perf_counter()
if verb == "fit":
    v = TfidfVectorizer(sublinear_tf=True, min_df=2, max_df=.5, ngram_range=(1, words), max_features=50000, dtype=np.float32)
    a = v.fit_transform(texts)
    t1 = time.perf_counter()
    s = TruncatedSVD(128, random_state=0).fit(a)
    print("%.2f s of them TF-IDF, %.2f s SVD" % (t1 - t, time.perf_counter() - t1), file=sys.stderr)
    pickle.dump((v, s), open("sk.pickle", "wb"))
else:
    v, s = pickle.load(open("sk.pickle", "rb"))
    x = normalize(s.transform(v.transform(texts)))
    print("%.2f s of them the transform alone" % (time.perf_counter() - t), file=sys.stderr)
    d["x"] = [" ".join(map(repr, row)) for row in x.tolist()]
    d.to_csv("sk.csv", index=False)
EOF
# Captured variance of the MODEL's components, and of the best that there are.
cat > "$dir/variance.py" <<'EOF'
import json, re, struct
import numpy as np, pandas as pd, scipy.sparse as sp
from scipy.sparse.linalg import svds
from sklearn.feature_extraction.text import CountVectorizer
b = open("m2", "rb").read()
n = struct.unpack("<Q", b[:8])[0]
h = json.loads(b[8:8 + n])
def tensor(k, kind):
    at, end = h[k]["data_offsets"]
    return np.frombuffer(b[8 + n + at:8 + n + end], kind).reshape(h[k]["shape"])
raw, start = tensor("term_bytes", "u1").tobytes(), tensor("term_start", "u4")
terms = [raw[start[i]:start[i + 1]].decode() for i in range(len(start) - 1)]
d = pd.read_csv("pool.csv", dtype=str, keep_default_na=False)
fold = lambda s: re.sub(r"(?<=[^\W\d_])['’](?=[^\W\d_])", "", s.lower())
a = CountVectorizer(vocabulary=terms, preprocessor=fold, token_pattern=r"[^\W_]+", ngram_range=(1, 2)).transform(
    (d.title + "\n" + d.text).tolist()).astype(np.float64)
a.data = 1 + np.log(a.data)
a = a @ sp.diags(tensor("term_weight", "f4").astype(np.float64))
norm = np.sqrt(np.asarray(a.multiply(a).sum(axis=1)).ravel())
a = (sp.diags(1 / np.maximum(norm, 1e-30)) @ a).tocsr().astype(np.float32)
got = np.linalg.norm(a @ tensor("components", "f4")) ** 2
best = (svds(a, k=128, return_singular_vectors=False, random_state=0).astype(np.float64) ** 2).sum()
print("captured variance: %.2f of %d, exact SVD %.2f, share %.4f" % (got, len(d), best, got / best))
EOF
cat > "$dir/bench.py" <<'EOF'
import os, subprocess, sys, time
hare = sys.argv[1] + "/hare-embed"
texts = sum(len(line.encode()) for line in open("pool.csv"))
def run(name, command, n_best=3):
    best, rss = None, 0
    for _ in range(n_best):
        with open("out.csv", "wb") as out, open("err", "wb") as err:
            t = time.perf_counter()
            p = subprocess.Popen(command, stdout=out, stderr=err)
            _, status, use = os.wait4(p.pid, 0)
            t = time.perf_counter() - t
        if status:
            print("bench failed: %s: %s" % (" ".join(command), open("err").read().strip()))
            sys.exit(0)
        best = t if best is None or t < best else best
        rss = max(rss, use.ru_maxrss)
    said = open("err").read().strip().splitlines()
    print("%-44s %8.2f s %10.0f texts/s %7.1f MB peak  %s" % (name, best, rows / best, rss * 1024 / 1e6, said[-1] if command[0] != hare and said else ""), flush=True)
    return best, rss * 1024
import csv
csv.field_size_limit(1 << 30)
reader = list(csv.DictReader(open("pool.csv", newline="")))
rows, text_bytes = len(reader), sum(len(r["title"].encode()) + len(r["text"].encode()) for r in reader)
del reader
print("%d texts, %.1f MB (CSV %.1f MB), 50,000 terms, 128 dimensions" % (rows, text_bytes / 1e6, texts / 1e6))
columns = ["-c", "title,text"]
f2, rss = run("hare-embed fit, words and pairs", [hare, "fit", "-o", "m2"] + columns + ["pool.csv"])
f1, _ = run("hare-embed fit, words", [hare, "fit", "--no-bigrams", "-o", "m1"] + columns + ["pool.csv"])
run("hare-embed fit, one thread", [hare, "fit", "--threads", "1", "-o", "m2"] + columns + ["pool.csv"])
t2, _ = run("hare-embed transform", [hare, "-m", "m2"] + columns + ["pool.csv"])
run("hare-embed transform, one thread", [hare, "-m", "m2", "--threads", "1"] + columns + ["pool.csv"])
run("hare-embed transform, --vec b64", [hare, "-m", "m2", "--vec", "b64"] + columns + ["pool.csv"])
print("peak memory of fit: %.1f times the text" % (rss / text_bytes))
open("one.csv", "w").write("text\nhow do I test this?\n")
cold = []
for _ in range(9):
    t = time.perf_counter()
    subprocess.run([hare, "-q", "-m", "m2", "one.csv"], check=True, stdout=subprocess.DEVNULL)
    cold.append(time.perf_counter() - t)
print("one text, whole process: %.1f ms (median of 9)" % (1000 * sorted(cold)[4]))
try:
    import sklearn, pandas
except ImportError:
    print("scikit-learn is not installed: not compared")
    sys.exit(0)
python = sys.executable
s1, _ = run("scikit-learn fit, words", [python, "sk.py", "fit", "1"], 1)
s2, _ = run("scikit-learn fit, words and pairs", [python, "sk.py", "fit", "2"], 1)
st, _ = run("scikit-learn transform", [python, "sk.py", "transform", "2"], 1)
print("times as fast as scikit-learn %s: fit %.1f (words %.1f), transform %.1f" % (sklearn.__version__, s2 / f2, s1 / f1, st / t2))
print(subprocess.run([python, "variance.py"], capture_output=True, text=True).stdout.strip())
EOF
(cd "$dir" && /usr/bin/python3 bench.py "$build")
