#!/bin/sh
# The language model at work: tokens a second of GPT-2's shape, one text and sixteen at once, beside what memory allows and
# PyTorch's same network with a cache of keys and values.
make -s "$BUILD/bench/lm" || { echo "bench failed"; exit 1; }
"$BUILD/bench/lm" "$BUILD/bench/lm.decoder" || echo "bench failed"
for python in python3 /usr/bin/python3; do
	$python -c 'import torch' 2> /dev/null && exec $python tests/bench/lm_torch.py
done
echo "torch: not here (Debian's package python3-torch)"
