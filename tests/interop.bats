bats_require_minimum_version 1.5.0

# Files and records that others read, and theirs that we read: numpy, pandas, jq, miller, and safetensors by its
# published rules.
setup_file() {
	cd "$BATS_FILE_TMPDIR"
	printf 'text\nred apple pie\nred apple tart\nblue sea wave\nblue sea ship\ngreen tree leaf\n' > texts.csv
	hare-embed fit -o unit.model -d 2 --clusters 2 --min-df 1 texts.csv
	printf 'id,title,x\na,"A, ""b""",1 0\nb,"two\nlines, \303\251",0 1\nzero,,0 0\nc,plain,0.6 0.8\n' > a.csv
	hare-pool build -m unit.model -o p a.csv
	# what any reader of safetensors does, in the words of its documentation
	cat > st.py <<'END'
import json, struct, numpy as np
SIZE = {"U8": 1, "U32": 4, "U64": 8, "I64": 8, "F16": 2, "F32": 4, "F64": 8}
NUMPY = {"U8": "<u1", "U32": "<u4", "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8"}
def load(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    assert data[8:9] == b"{" and n <= 100_000_000
    pairs = json.loads(data[8:8 + n], object_pairs_hook=list)
    assert len({k for k, v in pairs}) == len(pairs)
    header = {k: dict(v) for k, v in pairs}
    meta, end, out = header.pop("__metadata__", {}), 0, {}
    assert all(isinstance(v, str) for v in meta.values())
    for name, t in sorted(header.items(), key=lambda kv: kv[1]["data_offsets"]):
        a, b = t["data_offsets"]
        assert a == end and b - a == int(np.prod(t["shape"], dtype=object)) * SIZE[t["dtype"]]
        assert (8 + n + a) % SIZE[t["dtype"]] == 0
        out[name] = np.frombuffer(data[8 + n + a:8 + n + b], NUMPY[t["dtype"]]).reshape(t["shape"])
        end = b
    assert 8 + n + end == len(data)
    return meta, out
def save(path, tensors, meta=None, order=None):
    header, body = ({"__metadata__": meta} if meta else {}), b""
    for name, a in tensors.items():
        kind = {v: k for k, v in NUMPY.items()}[a.dtype.str if a.dtype.str[0] != "|" else "<" + a.dtype.str[1:]]
        header[name] = {"dtype": kind, "shape": list(a.shape), "data_offsets": [len(body), len(body) + a.nbytes]}
        body += a.tobytes()
    if order:
        header = {k: header[k] for k in order + (["__metadata__"] if meta else [])}
    text = json.dumps(header).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + body)
END
}

setup() {
	mkdir "$BATS_TEST_TMPDIR/work"
	cd "$BATS_TEST_TMPDIR/work"
	model=$BATS_FILE_TMPDIR/unit.model
	p=$BATS_FILE_TMPDIR/p
	export PYTHONPATH=$BATS_FILE_TMPDIR PYTHONDONTWRITEBYTECODE=1
}

py() { /usr/bin/python3 -c "$@"; }

@test "numpy reads the vectors that dump --npy writes" {
	run -0 --separate-stderr hare-pool dump --npy v.npy "$p"
	[ -z "$output$stderr" ]
	py '
import numpy as np
v = np.load("v.npy")
assert v.dtype == np.dtype("<f4") and v.shape == (4, 2) and v.flags.c_contiguous
assert (v == np.array([[1, 0], [0, 1], [0, 0], [.6, .8]], "f4")).all()'
}

@test "hare-pool reads what numpy saves: f4, f8, f2, and one row of one dimension" {
	printf 'id,title\na,"A, ""b"""\nb,"two\nlines, \303\251"\nzero,\nc,plain\n' > t.csv
	py '
import numpy as np
v = np.array([[1, 0], [0, 1], [0, 0], [.6, .8]])
np.save("f4.npy", v.astype("f4")); np.save("f8.npy", v); np.save("f2.npy", v.astype("f2")); np.save("one.npy", v[3].astype("f4"))
with open("v2.npy", "wb") as f: np.lib.format.write_array(f, v.astype("f4"), version=(2, 0))'
	for f in f4 f8 v2; do
		hare-pool build -m "$model" -o q --vectors $f.npy t.csv
		cmp q "$p"
	done
	hare-pool build -m "$model" -o q --vectors f2.npy t.csv
	[ "$(hare-pool dump q | tail -n 1)" = 'c,plain,0.60009766 0.7998047' ]
	printf 'id\nc\n' | hare-pool build -m "$model" -o q --vectors one.npy
	[ "$(hare-pool dump q | tail -n 1)" = 'c,0.6 0.8' ]
}

@test "arrays that are not read are named by what they are" {
	py '
import numpy as np
v = np.eye(2, dtype="f4")
np.save("big.npy", v.astype(">f4")); np.save("int.npy", v.astype("i4")); np.save("fortran.npy", np.asfortranarray([[1, 0], [0, 1], [0, 1]], "f4"))
np.save("cube.npy", np.zeros((2, 2, 2), "f4")); np.save("wide.npy", np.zeros((2, 3), "f4")); np.save("nan.npy", np.array([[1, 0], [np.nan, 0]], "f4"))
np.save("long.npy", np.array([[1, 0], [0, 2]], "f4")); np.save("three.npy", np.array([[1, 0]] * 3, "f4")); np.savez("zip.npz", v)'
	printf 'id\na\nb\n' > t.csv
	while IFS='|' read -r file says; do
		run -65 --separate-stderr hare-pool build -m "$model" -o q --vectors $file t.csv
		[[ "$stderr" == "hare-pool: "$says ]] || { echo "$file: $stderr"; return 1; }
		[ ! -e q ]
	done <<-'END'
		big.npy|big.npy: expected numbers of type <f4, <f8 or <f2, got >f4
		int.npy|int.npy: expected numbers of type <f4, <f8 or <f2, got <i4
		fortran.npy|fortran.npy: expected an array in C order, got Fortran order
		cube.npy|cube.npy: expected an array of 1 or 2 dimensions, got 3
		wide.npy|wide.npy: expected rows of 2 numbers, as */unit.model has dimensions, got 3
		nan.npy|nan.npy: row 1: expected a vector of length 1 or 0 (or --normalise), got length nan
		long.npy|long.npy: row 1: expected a vector of length 1 or 0 (or --normalise), got length 2
		three.npy|three.npy: has 3 rows, but there are 2 records
		zip.npz|zip.npz: *
		t.csv|t.csv: *
	END
	printf 'id\na\nb\nc\nd\n' > t.csv
	run -65 --separate-stderr hare-pool build -m "$model" -o q --vectors three.npy t.csv
	[ "$stderr" = 'hare-pool: t.csv:5: a record too many: three.npy has 3 rows' ]
}

@test "a pool and a model are safetensors files by the published rules" {
	py '
import st, numpy as np
meta, t = st.load("'"$p"'")
assert meta["hare"] == "pool" and meta["format"] == "pt" and meta["dim"] == "2"
assert (t["0.x"] == np.array([[1, 0], [0, 1], [0, 0], [.6, .8]], "f4")).all()
o = t["0.id.offset"]; ids = [t["0.id"].tobytes()[a:b].decode() for a, b in zip(o, o[1:])]
assert ids == ["a", "b", "zero", "c"] and [ids[i] for i in t["0.id.order"]] == sorted(ids)
o = t["0.offset.title"]; texts = [t["0.text.title"].tobytes()[a:b].decode() for a, b in zip(o, o[1:])]
assert texts == ["A, \"b\"", "two\nlines, \u00e9", "", "plain"]
q = np.rint(t["0.x"].astype("f8") * 2**18).astype("i8")
assert (t["0.sum"] == q.sum(0)).all() and (t["0.moment"] == (q.T @ q)[np.tril_indices(2)]).all()
fourth = sum(int(n) ** 2 for n in (q * q).sum(1)); assert int(t["0.quartic"][0]) + (int(t["0.quartic"][1]) << 64) == fourth
meta, t = st.load("'"$model"'")
assert meta["hare"] == "model" and t["centre"].shape == (2, 2) and t["mean"].shape == (2,)'
}

@test "hare-pool reads safetensors of other writers: the only table of floats, or the one that is named" {
	py '
import st, numpy as np
v = np.array([[1, 0], [0, 1], [0, 0], [.6, .8]], "f4")
st.save("one.safetensors", {"odd": np.zeros(3, "u1"), "emb": v})
st.save("two.safetensors", {"emb": v, "other": np.zeros((4, 2), "f8")}, meta={"a": "b"}, order=["other", "emb"])
st.save("none.safetensors", {"n": np.zeros((4, 2), "i8")})'
	printf 'id,title\na,"A, ""b"""\nb,"two\nlines, \303\251"\nzero,\nc,plain\n' > t.csv
	hare-pool build -m "$model" -o q --vectors one.safetensors t.csv
	cmp q "$p"
	hare-pool build -m "$model" -o q --vectors two.safetensors --tensor emb t.csv
	cmp q "$p"
	rm q
	run -65 --separate-stderr hare-pool build -m "$model" -o q --vectors two.safetensors t.csv
	[ "$stderr" = 'hare-pool: two.safetensors: has more than one table of floats (emb, other): choose with --tensor' ]
	run -65 --separate-stderr hare-pool build -m "$model" -o q --vectors none.safetensors t.csv
	[ "$stderr" = 'hare-pool: none.safetensors: has no table of floats' ]
	run -65 --separate-stderr hare-pool build -m "$model" -o q --vectors none.safetensors --tensor n t.csv
	[ "$stderr" = 'hare-pool: none.safetensors: tensor "n": expected floats' ]
	# a pool is such a file too
	hare-pool build -m "$model" -o q --vectors "$p" --tensor 0.x t.csv
	cmp q "$p"
}

@test "jq reads JSON Lines: numbers are numbers, texts are texts" {
	hare-pool dump -J "$p" > d.jsonl
	[ "$(jq -s length d.jsonl)" = 4 ]
	[ "$(jq -r 'select(.id == "b").title' d.jsonl)" = "$(printf 'two\nlines, \303\251')" ]
	[ "$(jq -c 'select(.id == "c").x' d.jsonl)" = '[0.6,0.8]' ]
	[ "$(hare-pool info -J "$p" | jq -r 'select(.key == "rows").value')" = 4 ]
	printf 'text\nred apple\n' | hare-embed -J -m "$model" | jq -e '(.x | length) == 2 and .text == "red apple"'
}

@test "miller reads CSV, TSV and JSON Lines" {
	[ "$(hare-pool dump "$p" | mlr --icsv --ojson filter '$id == "b"' then cut -f title | jq -r '.[0].title')" = "$(printf 'two\nlines, \303\251')" ]
	[ "$(hare-pool dump -T "$p" | mlr --itsv --onidx filter '$id == "c"' then cut -f x)" = '0.6 0.8' ]
	[ "$(hare-pool dump -J "$p" | mlr --ijsonl --ojson filter '$id == "c"' | jq -c '.[0].x')" = '[0.6,0.8]' ]
	# and what miller writes is read
	hare-pool dump "$p" | mlr --csv sort -r id | hare-pool build -m "$model" -o q
	[ "$(hare-pool dump --no-x q | sed -n 2p)" = zero, ]
}

@test "pandas reads the records, and what it writes is read" {
	hare-pool dump "$p" > d.csv
	py '
import pandas as pd, numpy as np
d = pd.read_csv("d.csv", keep_default_na=False)
assert list(d.columns) == ["id", "title", "x"] and d.title[1] == "two\nlines, \u00e9" and d.title[0] == "A, \"b\""
v = np.array([np.array(c.split(), "f4") for c in d.x]); assert v.shape == (4, 2) and v[3, 0] == np.float32(.6)
d["x"] = ["[" + ", ".join(map(repr, map(float, r))) + "]" for r in v]
d.to_csv("e.csv", index=False)'
	hare-pool build -m "$model" -o q e.csv
	cmp q "$p"
}

@test "vectors in base64 cells are the bytes of numpy" {
	hare-pool dump --vec b64 "$p" > d.csv
	py '
import csv, base64, numpy as np
rows = list(csv.DictReader(open("d.csv")))
assert rows[3]["x"].startswith("f32:")
assert (np.frombuffer(base64.b64decode(rows[3]["x"][4:]), "<f4") == np.array([.6, .8], "f4")).all()'
}
