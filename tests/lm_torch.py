# GPT-2 in PyTorch: writes a small checkpoint of random numbers as it would be published, and the log probabilities it gives
# usage: lm_torch.py FOLDER [PREFIX-OF-NAMES]    writes FOLDER/model.safetensors, config.json, rows and expected
import json, math, struct, sys
import torch

folder, before = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
torch.manual_seed(3)
L, H, D, V, P, T = 3, 4, 32, 101, 24, 13
w = {"wte.weight": torch.randn(V, D) * .3, "wpe.weight": torch.randn(P, D) * .1,
     "ln_f.weight": 1 + .1 * torch.randn(D), "ln_f.bias": .1 * torch.randn(D)}
for i in range(L):
    for name, n_in, n_out in (("attn.c_attn", D, 3 * D), ("attn.c_proj", D, D), ("mlp.c_fc", D, 4 * D), ("mlp.c_proj", 4 * D, D)):
        w[f"h.{i}.{name}.weight"] = torch.randn(n_in, n_out) * .2
        w[f"h.{i}.{name}.bias"] = torch.randn(n_out) * .1
    for name in ("ln_1", "ln_2"):
        w[f"h.{i}.{name}.weight"] = 1 + .1 * torch.randn(D)
        w[f"h.{i}.{name}.bias"] = .1 * torch.randn(D)
    w[f"h.{i}.attn.bias"] = torch.tril(torch.ones(P, P)).view(1, 1, P, P)
token = torch.randint(0, V, (T,))
h = w["wte.weight"][token] + w["wpe.weight"][:T]
def norm(x, name): return torch.nn.functional.layer_norm(x, (D,), w[name + ".weight"], w[name + ".bias"], 1e-5)
def affine(x, name): return x @ w[name + ".weight"] + w[name + ".bias"]
for i in range(L):
    q, k, v = (t.view(T, H, D // H).transpose(0, 1) for t in affine(norm(h, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn").split(D, -1))
    a = q @ k.transpose(-1, -2) / math.sqrt(D // H)
    a = a.masked_fill(torch.triu(torch.ones(T, T, dtype=torch.bool), 1), float("-inf")).softmax(-1)
    h = h + affine((a @ v).transpose(0, 1).reshape(T, D), f"h.{i}.attn.c_proj")
    m = affine(norm(h, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc")
    h = h + affine(.5 * m * (1 + torch.tanh(math.sqrt(2 / math.pi) * (m + .044715 * m ** 3))), f"h.{i}.mlp.c_proj")
log_p = torch.log_softmax(norm(h, "ln_f") @ w["wte.weight"].t(), -1)

header, data = {"__metadata__": {"format": "pt"}}, b""
for name, t in w.items():
    raw = t.contiguous().numpy().tobytes()
    header[before + name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
    data += raw
head = json.dumps(header).encode()
head += b" " * (-len(head) % 8)
open(folder + "/model.safetensors", "wb").write(struct.pack("<Q", len(head)) + head + data)
json.dump({"n_head": H}, open(folder + "/config.json", "w"))
open(folder + "/rows", "w").write(" ".join(map(str, token.tolist())) + "\n")
open(folder + "/expected", "w").write("".join(" ".join("%.7g" % x for x in row) + "\n" for row in log_p.tolist()))
