"""Sets of labelled rows as CSV for hare-bandit run, and LinUCB in plain numpy.
usage: bandit.py sets FOLDER            what sklearn has, and letter.txt ... of R, as FOLDER/SET.npz
       bandit.py rows SET.npz SEED N std|raw > rows.csv   N times all rows, each time shuffled anew
       bandit.py numpy SET.npz SEED N   decisions and updates per CPU second of N rows (0: all), and the mean reward"""
import os
import sys
import time

import numpy as np


def sets(folder):
    for name in ('letter', 'satellite', 'vehicle', 'pima', 'glass', 'ionosphere', 'sonar', 'vowel', 'breast', 'dna',
                 'soybean', 'zoo', 'votes'):
        path = os.path.join(folder, name + '.txt')
        if os.path.exists(path):
            table = np.loadtxt(path, delimiter=',', skiprows=1, ndmin=2)
            np.savez(os.path.join(folder, name), x=table[:, 1:], y=table[:, 0].astype(int))
    try:
        from sklearn import datasets
    except ImportError:
        return
    for name, load in (('digits', datasets.load_digits), ('wine', datasets.load_wine)):
        data = load()
        np.savez(os.path.join(folder, name), x=data.data, y=data.target)


def read(path, standardise=True):
    data = np.load(path)
    x, y = data['x'].astype(float), data['y']
    if standardise:
        sd = x.std(axis=0)
        x = (x - x.mean(axis=0)) / np.where(sd > 0, sd, 1)
    return x, y


def rows(path, seed, n, how):
    x, y = read(path, how == 'std')
    random = np.random.default_rng(seed)
    out = sys.stdout
    out.write('id,label,x\n')
    cells = [f"{y[i]},{' '.join('%.7g' % v for v in x[i])}\n" for i in range(len(y))]
    for k in range(n):
        for j, i in enumerate(random.permutation(len(y))):
            out.write(f'{k * len(y) + j},{cells[i]}')


def linucb(path, seed, n, alpha=.1, lam=1.):
    x, y = read(path)
    order = np.random.default_rng(seed).permutation(len(y))
    order = order[:n] if n else order
    d, k = x.shape[1], y.max() + 1
    inverse = np.stack([np.eye(d) / lam] * k)
    b = np.zeros((k, d))
    theta = np.zeros((k, d))
    hits = 0
    start = time.process_time()
    for i in order:
        v = x[i]
        u = inverse @ v
        a = np.argmax(theta @ v + alpha * np.sqrt(u @ v))
        r = a == y[i]
        hits += r
        inverse[a] -= np.outer(u[a], u[a]) / (1 + u[a] @ v)
        b[a] += r * v
        theta[a] = inverse[a] @ b[a]
    spent = time.process_time() - start
    print(f'{len(order) / spent:.0f} {hits / len(order):.3f}')


if sys.argv[1] == 'sets':
    sets(sys.argv[2])
elif sys.argv[1] == 'rows':
    rows(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
elif sys.argv[1] == 'numpy':
    linucb(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
