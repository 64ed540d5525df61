#!/usr/bin/python3
"""The mathematics of hare(7) once more, in numpy, from the files that the programs wrote. It shares no code with them.

usage: twin.py MODEL POOL REWARDS.csv QUERIES.csv ATTENDED.csv
  REWARDS: user,item,reward and x, the query, if there   QUERIES: user,x   ATTENDED: what hare-attend made of QUERIES (columns z, items, weights,
  entropy, uncertainty). Prints one line per quantity with the largest deviation; exit 1 if one is above 1e-4 relative.
"""
import csv, json, math, struct, sys
import numpy as np

csv.field_size_limit(1 << 30)

def safetensors(path):
    raw = open(path, "rb").read()
    (n,) = struct.unpack("<Q", raw[:8])
    head = json.loads(raw[8:8 + n])
    kind = {"F32": "<f4", "F64": "<f8", "U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8", "I32": "<i4", "I64": "<i8"}
    out = {k: np.frombuffer(raw[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]], kind[v["dtype"]])
           .reshape(v["shape"]) for k, v in head.items() if k != "__metadata__"}
    return out, head["__metadata__"]

def strings(bytes_, offset):
    return [bytes(bytes_[a:b]).decode() for a, b in zip(offset[:-1], offset[1:])]

model, meta = safetensors(sys.argv[1])
pool, _ = safetensors(sys.argv[2])
X = pool["0.x"].astype(float)
ids = strings(pool["0.id"], pool["0.id.offset"])
cluster = pool["0.cluster"].astype(int)
row = {k: j for j, k in enumerate(ids)}
N, d = X.shape
xbar = model["mean"].astype(float)
g, kappa, rho = (float(meta[k]) for k in ("gain", "widening", "bonus"))
lam, s2, b0, query_var = (float(meta[k]) for k in ("lambda", "noise_var", "base_rate", "query_var"))
least, h = float(meta["query_least"]), float(meta["query_share"])
# weights of a text's features and, last, of what the query says of it
P = np.diag(np.append(np.full(d, lam), 1 / query_var))
m0 = np.append(np.zeros(d), h / g)

S = X @ X.T
pairs = S[np.triu_indices(N, 1)]
beta = math.sqrt(2 * math.log(N)) / pairs.std()

def rows(path):
    return list(csv.DictReader(open(path, newline="")))

def floats(cell):
    return np.array([float(v) for v in cell.split()])

F = {}
for r in rows(sys.argv[3]):
    f = X[row[r["item"]]] - xbar
    f = np.append(f, f @ floats(r["x"]) if r.get("x") else 0)
    F.setdefault(r["user"], []).append((f, float(r["reward"])))

worst = {}
def compare(name, ours, theirs):
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    scale = max(np.abs(ours).max(), 1e-12)
    worst[name] = max(worst.get(name, 0), np.abs(ours - theirs).max() / scale)

queries, attended = rows(sys.argv[4]), rows(sys.argv[5])
assert len(queries) == len(attended) > 0
for q, got in zip(queries, attended):
    seen = F.get(q.get("user", ""), [])
    Lambda = P.copy()
    b = P @ m0
    for f, r in seen:
        Lambda += np.outer(f, f) / s2
        b += f * (r - b0) / s2
    Sigma = np.linalg.inv(Lambda)
    mean = Sigma @ b
    v = mean[d] * g / h
    if least > 0:       # apart: the user as if the query had no weight, and its weight as if both were learnt together
        v = min(1, max(least, least + (1 - least) * v))
        Sigma = np.zeros_like(Sigma)
        Sigma[:d, :d] = np.linalg.inv(Lambda[:d, :d])
        mean = Sigma @ b
    x = floats(q["x"])
    times = 1 / v if least > 0 else 1                   # apart, in the scale of x
    logit = beta * (X @ (v * times * x + g * times * mean[:d]))         # no cluster was learnt: equal bonuses cancel
    top = np.argsort(-logit, kind="stable")[:64]
    A0 = np.exp(logit[top] - logit[top].max()); A0 /= A0.sum()
    f = X[top] - xbar
    f = np.c_[f, f @ x]
    tau2 = float(A0 @ np.einsum("ij,jk,ik->i", f, Sigma, f))
    T = math.sqrt(1 + kappa * math.pi / 8 * beta ** 2 * g ** 2 * tau2)
    A = np.exp((logit - logit.max()) / T); A /= A.sum()
    compare("z", A @ X, floats(got["z"]))
    compare("entropy", -(A[A > 0] * np.log(A[A > 0])).sum(), float(got["entropy"]))
    compare("uncertainty", math.sqrt(tau2), float(got["uncertainty"]))
    items = got["items"].split()
    compare("weights", A[[row[i] for i in items]], floats(got["weights"]))
    best = np.sort(A)[::-1][:len(items)]
    compare("order", best, A[[row[i] for i in items]])
bad = 0
for name, w in worst.items():
    print(f"{name}: largest relative deviation {w:.1e}")
    bad |= not w < 1e-4
sys.exit(bad)
