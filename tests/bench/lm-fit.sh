#!/bin/sh
# How fast the language model learns: a plain GPT-2 of 4 layers, 256 wide, 2,048 words, here and in torch, turn about on the
# same processors; then the model with prefix, prompt and copy head.
# usage: BUILD=build tests/bench/lm-fit.sh        THREADS: processors, all unless given
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
make -s "BUILD=$build" "$build/bench/lm_fit"
fit=$build/bench/lm_fit
n=${THREADS:-$(nproc)}
peer() {
	/usr/bin/python3 -c 'import torch' 2> /dev/null || return 0
	# torch with BLAS's threads is the fastest setting of torch when its own threads sleep while they wait
	OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=$n /usr/bin/python3 tests/bench/lm_fit.py 4 256 4 2048 "$1" "$2" "$n" 3
}
for size in "16 128" "8 256"; do
	echo "# 4 layers, 256 wide, 2,048 words; examples and their rows: $size"
	for i in 1 2 3; do
		# shellcheck disable=SC2086
		"$fit" 4 256 4 2048 plain $size "$n" 3
		# shellcheck disable=SC2086
		peer $size
	done
done
echo "# 8,192 words, prompts of about 64 tokens"
"$fit" 2 128 4 8192 prompt 24 64 "$n" 3
"$fit" 4 128 4 8192 prompt 24 64 "$n" 3
"$fit" 4 256 4 8192 prompt 24 64 "$n" 3
