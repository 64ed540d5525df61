# A checkpoint in GPT-2's form, written and read by another program: the same log probabilities. Skipped without torch.
bats_require_minimum_version 1.5.0

setup_file() {
	cd "$BATS_FILE_TMPDIR"
	python=/usr/bin/python3
	"$python" -c 'import torch' 2> /dev/null || { echo no > no-torch; return; }
	cat > make.py <<'MAKE'
import json, math, struct, sys, torch, torch.nn.functional as F
torch.manual_seed(5)
d, n_head, n_layer, n_inner, n_place, n_vocab = 32, 4, 2, 128, 24, 61
t = {'wte.weight': torch.randn(n_vocab, d) * .3, 'wpe.weight': torch.randn(n_place, d) * .2,
     'ln_f.weight': 1 + torch.randn(d) * .1, 'ln_f.bias': torch.randn(d) * .1}
for i in range(n_layer):
    for name, n in (('ln_1', d), ('ln_2', d)):
        t[f'h.{i}.{name}.weight'] = 1 + torch.randn(n) * .1
        t[f'h.{i}.{name}.bias'] = torch.randn(n) * .1
    for name, a, b in (('attn.c_attn', d, 3 * d), ('attn.c_proj', d, d), ('mlp.c_fc', d, n_inner), ('mlp.c_proj', n_inner, d)):
        t[f'h.{i}.{name}.weight'] = torch.randn(a, b) / math.sqrt(a)
        t[f'h.{i}.{name}.bias'] = torch.randn(b) * .1
    t[f'h.{i}.attn.bias'] = torch.ones(1, 1, n_place, n_place).tril()
    t[f'h.{i}.attn.masked_bias'] = torch.tensor([-1e4])
def write(path, prefix, dtype, drop=()):
    kinds = {torch.float32: 'F32', torch.float16: 'F16', torch.bfloat16: 'BF16'}
    head, data = {}, b''
    for k, v in t.items():
        if k in drop: continue
        raw = v.to(dtype).contiguous().view(torch.int32 if dtype == torch.float32 else torch.int16).numpy().tobytes()
        head[prefix + k] = {'dtype': kinds[dtype], 'shape': list(v.shape), 'data_offsets': [len(data), len(data) + len(raw)]}
        data += raw
    j = json.dumps(head).encode()
    j += b' ' * (-len(j) % 8)
    open(path, 'wb').write(struct.pack('<Q', len(j)) + j + data)
def forward(y):
    n = len(y); x = t['wte.weight'][y] + t['wpe.weight'][:n]
    for i in range(n_layer):
        p = lambda k: t[f'h.{i}.{k}']
        h = F.layer_norm(x, (d,), p('ln_1.weight'), p('ln_1.bias'), 1e-5) @ p('attn.c_attn.weight') + p('attn.c_attn.bias')
        q, k, v = [z.view(n, n_head, -1).transpose(0, 1) for z in h.split(d, -1)]
        a = (q @ k.transpose(1, 2) / math.sqrt(d // n_head)).masked_fill(torch.ones(n, n).triu(1).bool(), -math.inf)
        x = x + (a.softmax(-1) @ v).transpose(0, 1).reshape(n, d) @ p('attn.c_proj.weight') + p('attn.c_proj.bias')
        h = F.layer_norm(x, (d,), p('ln_2.weight'), p('ln_2.bias'), 1e-5) @ p('mlp.c_fc.weight') + p('mlp.c_fc.bias')
        h = .5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + .044715 * h ** 3)))
        x = x + h @ p('mlp.c_proj.weight') + p('mlp.c_proj.bias')
    return (F.layer_norm(x, (d,), t['ln_f.weight'], t['ln_f.bias'], 1e-5) @ t['wte.weight'].T).log_softmax(-1)
json.dump({'n_head': n_head}, open('config.json', 'w'))
write('plain', '', torch.float32); write('prefixed', 'transformer.', torch.float32)
write('f16', '', torch.float16); write('bf16', '', torch.bfloat16)
write('lacking', '', torch.float32, ('h.1.mlp.c_fc.bias',))
y = [3, 60, 0, 17, 17, 42, 5, 9]
lp = forward(torch.tensor(y))
open('right', 'w').write('\n'.join(' '.join(f'{v:.6f}' for v in row) for row in lp.tolist() + [lp[-1].tolist()]) + '\n')
MAKE
	"$python" make.py
}
setup() { cd "$BATS_FILE_TMPDIR"; [ ! -e no-torch ] || skip 'no torch'; unit="$BATS_TEST_DIRNAME/../${BUILD:-build}/tests/lm"; }

# near FILE BOUND: its log probabilities are the right ones within that
near() {
	"$unit" "$1" 3 60 0 17 17 42 5 9 > got
	[ "$(wc -l < got)" = 9 ]
	paste -d' ' right got | awk -v bound="$2" 'NF != 122 { bad = 1 }
		{ for (i = 1; i <= 61; i++) { e = $i - $(i + 61); if (e < 0) e = -e; if (!(e <= bound)) bad = 1; if (e > most) most = e } }
		END { print most; exit bad }'
}

@test "step by step and at once, the log probabilities are those of torch" { near plain 1e-4; }
@test "names may begin with transformer." { near prefixed 1e-4; }
@test "half floats are read" { near f16 .02; near bf16 .15; }
@test "a tensor that is missing is named" {
	run -65 "$unit" lacking 3 4
	[[ "$output" == *lacking*h.1.mlp.c_fc.bias* ]]
}
