"""Peers of attention, and its large pool. usage: attention.py ROWS DIM | attention.py make POOL ROWS NAME"""
import sys
import time

import numpy as np

sys.path = [p for p in sys.path if p]


def rows_of(pool):
    import json
    import struct
    b = open(pool, "rb").read()
    n = struct.unpack("<Q", b[:8])[0]
    h = json.loads(b[8:8 + n])["0.x"]
    return np.frombuffer(b, "<f4", offset=8 + n + h["data_offsets"][0], count=int(np.prod(h["shape"]))).reshape(h["shape"])


def median_ms(what, n=7):
    took = []
    what()
    for _ in range(n):
        t = time.perf_counter()
        what()
        took.append(1e3 * (time.perf_counter() - t))
    return sorted(took)[n // 2]


def make(pool, n, name):
    """Rows of a pool, each many times with noise of length .4."""
    x, r = rows_of(pool), np.random.default_rng(3)
    y = np.lib.format.open_memmap(name + ".npy", mode="w+", dtype="<f4", shape=(n, x.shape[1]))
    for a in range(0, n, 65536):
        m = min(65536, n - a)
        noisy = x[r.integers(0, len(x), m)] + r.standard_normal((m, x.shape[1]), dtype=np.float32) * np.float32(.4 / x.shape[1] ** .5)
        y[a:a + m] = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
    with open(name + ".csv", "w") as f:
        f.write("id\n" + "".join("r%d\n" % i for i in range(n)))


def peers(n, d):
    r = np.random.default_rng(1)
    x = r.standard_normal((n, d), dtype=np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    q = x[:256] + np.float32(.05) * r.standard_normal((256, d), dtype=np.float32)
    try:
        import faiss
        index = faiss.IndexFlatIP(d)
        index.add(x)
        for k in 1, 16, 256:
            print("faiss %s, flat inner product, top 10 only: %4d queries %9.2f ms" % (faiss.__version__, k, median_ms(lambda: index.search(q[:k], 10), 5)))
        del index
    except ImportError:
        print("faiss is not installed")
    try:
        import torch
        xt, qt = torch.from_numpy(x), torch.from_numpy(np.ascontiguousarray(q))
        for k in 1, 16:
            a = qt[:4 * k] * 10
            print("torch %s, 4 heads, softmax and pooling: %4d queries %9.2f ms" % (torch.__version__, k,
                  median_ms(lambda: torch.softmax(a @ xt.T, 1) @ xt, 5)))
    except ImportError:
        print("torch is not installed")


if sys.argv[1] == "make":
    make(sys.argv[2], int(sys.argv[3]), sys.argv[4])
else:
    peers(int(sys.argv[1]), int(sys.argv[2]))
