# GPT-2's shape in PyTorch, random numbers, keys and values kept: tokens a second of 1 and 16 texts
import math, os, statistics, time
import torch

L, H, D, V, STEPS, REPEAT = 12, 12, 768, 50257, 12, 5
torch.set_num_threads(len(os.sched_getaffinity(0)))
torch.manual_seed(1)
wte, wpe = torch.randn(V, D) * .02, torch.randn(1024, D) * .02
block = [{"qkv": torch.randn(D, 3 * D) * .02, "proj": torch.randn(D, D) * .02, "fc": torch.randn(D, 4 * D) * .02,
          "out": torch.randn(4 * D, D) * .02} for _ in range(L)]
bias = {"qkv": torch.zeros(3 * D), "proj": torch.zeros(D), "fc": torch.zeros(4 * D), "out": torch.zeros(D)}
one, zero = torch.ones(D), torch.zeros(D)

@torch.no_grad()
def step(token, place, past):
    n = len(token)
    h = wte[token] + wpe[place]
    for i, b in enumerate(block):
        q, k, v = torch.addmm(bias["qkv"], torch.layer_norm(h, (D,), one, zero), b["qkv"]).split(D, -1)
        q, k, v = (t.view(n, H, 1, D // H) for t in (q, k, v))
        if past[i]:
            k, v = torch.cat([past[i][0], k], 2), torch.cat([past[i][1], v], 2)
        past[i] = (k, v)
        y = (q @ k.transpose(-1, -2) / math.sqrt(D // H)).softmax(-1) @ v
        h = h + torch.addmm(bias["proj"], y.reshape(n, D), b["proj"])
        m = torch.nn.functional.gelu(torch.addmm(bias["fc"], torch.layer_norm(h, (D,), one, zero), b["fc"]), approximate="tanh")
        h = h + torch.addmm(bias["out"], m, b["out"])
    return torch.log_softmax(torch.layer_norm(h, (D,), one, zero) @ wte.t(), -1)

for n in (1, 16):
    took = []
    for _ in range(REPEAT):
        past = [None] * L
        step(torch.arange(n), 0, past)
        start = time.perf_counter()
        for t in range(STEPS):
            step(torch.arange(n) + t, t + 1, past)
        took.append((time.perf_counter() - start) / STEPS)
    print("torch %s f32  %2d at once %7.1f tokens/s" % (torch.__version__, n, n / statistics.median(took)), flush=True)
