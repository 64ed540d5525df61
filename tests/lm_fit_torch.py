"""The network of lib/lm in a few lines of torch: reads what `lm_fit dump` wrote, prints how far loss and gradients are off."""
import sys
import torch
import torch.nn.functional as F

torch.set_num_threads(1)
lines = [l.rstrip('\n').split(' ') for l in open(sys.argv[1])]
shape = {a: int(b) for a, b in (l[1:] for l in lines if l[0] == 'shape')}
number, slope = {}, {}
for l in lines:
    if l[0] in ('number', 'slope'):
        t = torch.tensor([float(a) for a in l[4:]], dtype=torch.float64)
        (number if l[0] == 'number' else slope)[l[1]] = t.view(int(l[2]), int(l[3])) if l[3] != '0' else t
for t in number.values():
    t.requires_grad_(True)
loss_there = float(next(l[1] for l in lines if l[0] == 'loss'))
NONE, BEGIN = 2 ** 32 - 1, 1
dim, n_head = shape['dim'], shape['n_head']
g = number.get


def norm(x, name):
    return F.layer_norm(x, (dim,), g(name + '.weight'), g(name + '.bias'), 1e-5)


def linear(x, name):
    return x @ g(name + '.weight') + g(name + '.bias')


def gelu(x):
    return F.gelu(x, approximate='tanh')


def embed(rows):
    x = [g('wte.weight')[r[0]] + g('wpe.weight')[r[3]] for r in rows]
    if shape['n_source']:
        x = [a + g('wse.weight')[r[4]] for a, r in zip(x, rows)]
    if shape['shift']:
        x = [a + g('shift.weight') * g('wte.weight')[r[1]] if r[1] != NONE else a for a, r in zip(x, rows)]
    return x


def example(given, prompt, text, target):
    x = embed(prompt + text)
    n_prefix, n_prompt = shape['n_prefix'], len(prompt)
    if n_prefix:
        p = linear(gelu(linear(torch.tensor(given, dtype=torch.float64), 'prefix.1')), 'prefix.2').view(n_prefix, dim)
        p = p + g('wpe.weight')[:n_prefix] + (g('wse.weight')[0] if shape['n_source'] else 0)
        x = list(p) + x
    x = torch.stack(x)
    n, n_see = len(x), n_prefix + n_prompt
    mask = torch.full((n, n), float('-inf'), dtype=torch.float64).triu(1)
    if shape['two_way']:
        mask[:n_see, :n_see] = 0
    for l in range(shape['n_layer']):
        h = f'h.{l}.'
        q, k, v = (a.view(n, n_head, -1).transpose(0, 1) for a in linear(norm(x, h + 'ln_1'), h + 'attn.c_attn').chunk(3, -1))
        w = F.softmax(q @ k.transpose(1, 2) * (dim // n_head) ** -.5 + mask, -1)
        x = x + linear((w @ v).transpose(0, 1).reshape(n, dim), h + 'attn.c_proj')
        x = x + linear(gelu(linear(norm(x, h + 'ln_2'), h + 'mlp.c_fc')), h + 'mlp.c_proj')
    h = norm(x, 'ln_f')
    ht, hp = h[n_see:], h[n_prefix:n_see]
    word = F.softmax(ht @ g('wte.weight').t(), -1)
    y = torch.tensor([0 if a == NONE else a for a in target])
    p = word.gather(1, y[:, None])[:, 0]
    if shape['copy'] and n_prompt:
        gamma, delta0, delta1 = g('copy.scalar')
        e = (ht @ g('copy.q.weight')) @ (hp @ g('copy.k.weight')).t() * dim ** -.5
        e = e + gamma * torch.tensor([r[5] for r in prompt], dtype=torch.float64)
        before = [BEGIN if r[1] == NONE else r[1] for r in prompt]
        before2 = [BEGIN if r[2] == NONE and r[1] != NONE else r[2] for r in prompt]
        one = torch.tensor([[b == r[0] for b in before] for r in text])
        two = one & torch.tensor([[b == r[1] for b in before2] for r in text])
        a = F.softmax(e + delta0 * one + delta1 * two, -1)
        gate = torch.sigmoid(torch.cat([ht, a @ hp], 1) @ g('copy.gate')[:-1] + g('copy.gate')[-1])
        copied = (a * torch.tensor([[r[0] == t for r in prompt] for t in target])).sum(1)
        p = gate * p + (1 - gate) * copied
    return [-torch.log(a) for a, t in zip(p, target) if t != NONE]


losses, given, prompt, text, target = [], [], [], [], []
for l in lines:
    if l[0] == 'given':
        given, prompt, text, target = [float(a) for a in l[1:]], [], [], []
    elif l[0] in ('prompt', 'text'):
        (prompt if l[0] == 'prompt' else text).append([int(a) for a in l[1:6]] + [float(l[6])])
        if l[0] == 'text':
            target.append(int(l[7]))
    elif l[0] == 'end':
        losses += example(given, prompt, text, target)
loss = torch.stack(losses).mean()
loss.backward()
bad = abs(loss.item() - loss_there) > 1e-4 * loss.item()
print(f'loss {loss.item():.7f}, there {loss_there:.7f}')
for name, t in number.items():
    d = torch.zeros_like(t) if t.grad is None else t.grad
    off = (d - slope[name]).norm().item() / max(d.norm().item(), 1e-6)
    if off > 1e-4:
        bad = True
        print(f'{name}: the gradient is off by {off:.1e} of its length')
print('differ' if bad else f'all {len(number)} gradients agree')
sys.exit(bad)
