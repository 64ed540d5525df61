# Words of a text, and how alike two texts are.
import re

words = lambda s: re.findall(r"[\w'-]+", s.lower())

def rouge_l(a, b):
    """F1 of the longest common subsequence of two lists of words (Lin 2004)."""
    d = [0] * (len(b) + 1)
    for x in a:
        left = 0
        for j, y in enumerate(b):
            up = d[j + 1]
            d[j + 1] = left + 1 if x == y else max(up, d[j])
            left = up
    return 2 * d[-1] / (len(a) + len(b))
