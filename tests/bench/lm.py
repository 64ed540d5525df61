# lm.py - torch at the work of lm.c: GPT-2's shape, random float32 numbers, keys and values kept, one text and 16 at once
import os
import time
import torch
import torch.nn.functional as F

D, HEADS, LAYERS, VOCAB, STEPS, REPEAT = 768, 12, 12, 50257, 6, 3
torch.set_grad_enabled(False)
torch.set_num_threads(len(os.sched_getaffinity(0)))


def matrix(n_in, n_out):
    return torch.randn(n_in, n_out) / n_in ** .5, torch.zeros(n_out)


wte, wpe = torch.randn(VOCAB, D) * .05, torch.randn(1024, D) * .02
blocks = [(matrix(D, 3 * D), matrix(D, D), matrix(D, 4 * D), matrix(4 * D, D)) for _ in range(LAYERS)]


def product(x, w):
    return torch.addmm(w[1], x, w[0])


def step(token, place, past):
    n = len(token)
    x = wte[token] + wpe[place]
    for i, (qkv, proj, fc, out) in enumerate(blocks):
        q, k, v = product(F.layer_norm(x, (D,)), qkv).view(n, 3, HEADS, 1, D // HEADS).unbind(1)
        if past[i]:
            k, v = torch.cat([past[i][0], k], 2), torch.cat([past[i][1], v], 2)
        past[i] = (k, v)
        a = (q @ k.transpose(2, 3) * (D // HEADS) ** -.5).softmax(-1) @ v
        x = x + product(a.reshape(n, D), proj)
        x = x + product(F.gelu(product(F.layer_norm(x, (D,)), fc), approximate='tanh'), out)
    return (F.layer_norm(x, (D,)) @ wte.T).log_softmax(-1)


def rate(n):
    took = []
    for _ in range(REPEAT):
        past = [None] * LAYERS
        step(torch.ones(n, dtype=torch.long), 0, past)
        start = time.monotonic()
        for t in range(STEPS):
            step(torch.arange(n) + 7 + t * n, t + 1, past)
        took.append((time.monotonic() - start) / STEPS)
    return n / sorted(took)[REPEAT // 2]


one, many = rate(1), rate(16)
print(f'torch f32, {torch.get_num_threads()} threads: one {one:.1f} tokens/s   16 at once {many:.1f}  {many / one:.1f} of one')
