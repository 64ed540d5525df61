#!/bin/sh
# Does the embedding find things? Each of 1,000 titles looks for its own text among all texts, by inner product.
# usage: BUILD=build DATA=folder tests/bench/retrieval.sh     DATA holds pool.csv.gz: id,title,text
# Needs /usr/bin/python3 with numpy.
set -eu
/usr/bin/python3 -c 'import numpy' 2> /dev/null || { echo "bench failed: python3-numpy is not installed"; exit 0; }
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
gzip -dc "$DATA/pool.csv.gz" > "$work/pool.csv"
for how in '--stop-words none --idf-power 1 --pair-weight 1' '--stop-words none --idf-power 1 --no-bigrams' '--stop-words none' ''; do
	# shellcheck disable=SC2086
	hare-embed fit -q $how -o "$work/model" -c text "$work/pool.csv"
	for c in text title; do hare-embed -q -m "$work/model" -c $c --npy "$work/$c.npy" "$work/pool.csv" > /dev/null; done
	/usr/bin/python3 - "$work" "${how:-the default weights}" <<'EOF'
import sys, numpy as np
x, q = (np.load(sys.argv[1] + "/" + c + ".npy") for c in ("text", "title"))
rows = np.random.default_rng(0).permutation(len(x))[:1000]
s = q[rows] @ x.T
rank = (s > s[np.arange(len(rows)), rows][:, None]).sum(axis=1) + 1
print("%-55s its own text first %4.1f %%, among ten %4.1f %%, mean reciprocal rank %.3f" %
    (sys.argv[2], 100 * (rank == 1).mean(), 100 * (rank <= 10).mean(), (1 / rank).mean()))
EOF
done
/usr/bin/python3 -c 'import sklearn' 2> /dev/null || exit 0
/usr/bin/python3 - "$work" <<'EOF'
import csv, sys, numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
csv.field_size_limit(1 << 30)
r = list(csv.DictReader(open(sys.argv[1] + "/pool.csv", newline="")))
v = TfidfVectorizer(sublinear_tf=True, min_df=2, max_df=.5, max_features=50000)
x = v.fit_transform([d["text"] for d in r])
rows = np.random.default_rng(0).permutation(len(r))[:1000]
s = (v.transform([r[i]["title"] for i in rows]) @ x.T).toarray()
rank = (s > s[np.arange(len(rows)), rows][:, None]).sum(axis=1) + 1
print("%-55s its own text first %4.1f %%, among ten %4.1f %%, mean reciprocal rank %.3f" %
    ("whole rows of TF-IDF (scikit-learn)", 100 * (rank == 1).mean(), 100 * (rank <= 10).mean(), (1 / rank).mean()))
EOF
