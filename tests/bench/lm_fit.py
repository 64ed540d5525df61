"""Tokens a second of the same plain GPT-2 in PyTorch: usage lm_fit.py N_LAYER DIM N_HEAD N_VOCAB N_EXAMPLE N_ROW [N_THREAD [SECONDS [DROPOUT]]]"""
import os, sys, time

number = [float(a) for a in sys.argv[1:]]
n_layer, dim, n_head, n_vocab, n, n_row = map(int, number[:6])
n_thread = int(number[6]) if len(number) > 6 else os.cpu_count()
seconds = number[7] if len(number) > 7 else 5
dropout = number[8] if len(number) > 8 else .1
os.environ.setdefault('OPENBLAS_NUM_THREADS', str(n_thread))
os.environ.setdefault('OMP_NUM_THREADS', str(n_thread))
import torch, torch.nn as nn, torch.nn.functional as F
torch.set_num_threads(n_thread)
torch.set_flush_denormal(True)
torch.manual_seed(1)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc, self.out = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x, mask):
        b, t, _ = x.shape
        q, k, v = (a.view(b, t, n_head, -1).transpose(1, 2) for a in self.qkv(self.ln1(x)).chunk(3, -1))
        w = F.softmax(q @ k.transpose(-1, -2) * (dim // n_head) ** -.5 + mask, -1)
        x = x + F.dropout(self.proj((w @ v).transpose(1, 2).reshape(b, t, dim)), dropout)
        return x + F.dropout(self.out(F.gelu(self.fc(self.ln2(x)), approximate='tanh')), dropout)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(n_vocab, dim), nn.Embedding(256, dim)
        self.h, self.lnf = nn.ModuleList([Block() for _ in range(n_layer)]), nn.LayerNorm(dim)
        self.register_buffer('mask', torch.full((n_row, n_row), float('-inf')).triu(1))

    def forward(self, x, y):
        h = F.dropout(self.wte(x) + self.wpe.weight[:n_row], dropout)
        for b in self.h:
            h = b(h, self.mask)
        return F.cross_entropy(F.linear(F.dropout(self.lnf(h), dropout), self.wte.weight).view(-1, n_vocab), y.view(-1))


net = Net()
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, betas=(.9, .98), weight_decay=.01)
x, y = torch.randint(n_vocab, (n, n_row)), torch.randint(n_vocab, (n, n_row))
step, best, start = 0, 1e9, time.time()
while step < 3 or time.time() - start < seconds:
    t0 = time.time()
    loss = net(x, y)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.)
    optimizer.step()
    loss.item()
    if step > 1:
        best = min(best, time.time() - t0)
    if step == 1:
        start = time.time()
    step += 1
mean = (time.time() - start) / (step - 2)
print(f"{'torch ' + torch.__version__ + ', plain':52} {n * n_row / mean:8.0f} tokens/s (best step {n * n_row / best:.0f}), {n * n_row} rows a step, "
      f"{sum(p.numel() for p in net.parameters())} numbers, {n_thread} threads")
