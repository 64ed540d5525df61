# Measures of texts that were written for people: written.py WRITTEN SKILLS HISTORY
import collections, csv, math, re, sys
sys.dont_write_bytecode = True
sys.path.insert(0, "tests")
from rouge import rouge_l, words
csv.field_size_limit(10**9)
table = lambda name: list(csv.DictReader(open(name, newline="", encoding="utf-8")))
small = set(re.findall(r'"([a-z]+)"', open("lib/text/stop.c").read()))
rows, pool = table(sys.argv[1]), {r["id"]: r for r in table(sys.argv[2])}
columns = [c for c in next(iter(pool.values())) if c != "id"]
said = {i: words(" ".join(r[c] for c in columns)) for i, r in pool.items()}
liked = collections.defaultdict(list)
for r in table(sys.argv[3]):
    if float(r["reward"]) > 0:
        liked[r["user"]] += said[r["item"]]

same = collections.defaultdict(list)
for r in rows:
    if r["user"] in liked:
        same[r["query"]].append(words(r["output"]))
alike = [rouge_l(t[i], t[j]) for t in same.values() for i in range(len(t)) for j in range(i)]
print("ROUGE-L of two people's texts on one question                  %.3f, at most %.3f; %d pairs" % (
    sum(alike) / len(alike), max(alike), len(alike)))
df = collections.Counter(w for t in said.values() for w in set(t))
def vector(t):
    v = {w: (1 + math.log(n)) * math.log(len(pool) / df[w]) for w, n in collections.Counter(t).items() if w in df}
    length = math.sqrt(sum(x * x for x in v.values())) or 1
    return {w: x / length for w, x in v.items()}
profile = {u: vector(t) for u, t in liked.items()}
n = right = 0
for r in rows:
    if r["user"] in profile:
        v = vector(words(r["output"]))
        near = max(profile, key=lambda u: sum(x * profile[u].get(w, 0) for w, x in v.items()))
        right += near == r["user"]
        n += 1
print("texts nearest to the profile of who asked (chance 1 in %d)      %.1f %% of %d" % (len(profile), 100 * right / n, n))
five = lambda t: [tuple(t[i:i + 5]) for i in range(len(t) - 4)]
known = {g for r in pool.values() for c in columns for g in five(words(r[c]))}
grams = [g for r in rows for g in five(words(r["output"]))]
print("five words in a row that the pool has too                      %.3f of %d" % (sum(g in known for g in grams) / len(grams), len(grams)))
pairs = [p for r in rows for t in [words(r["output"])] for p in zip(t, t[1:])]
print("distinct-2                                                     %.3f of %d" % (len(set(pairs)) / len(pairs), len(pairs)))
strange = total = 0
for r in rows:
    read = small | set(words(r["query"])) | {w for i in r["items"].split()[:3] for w in said[i]}
    t = words(r["output"])
    strange += sum(w not in read for w in t)
    total += len(t)
print("words in neither question nor the three items read             %.3f of %d" % (strange / total, total))
print("texts that end at a sentence, are empty; words of a text       %d of %d, %d; %.1f" % (
    sum(bool(re.search(r"[.!?]$", r["output"])) for r in rows), len(rows), sum(not r["output"].strip() for r in rows), total / len(rows)))
