#!/bin/sh
# Speed of the language model at GPT-2's shape (124M random numbers), beside the read bandwidth, and torch's same network.
# usage: BUILD=build tests/bench/lm.sh       torch is asked if /usr/bin/python3 has it
set -eu
cd "$(dirname "$0")/../.."
[ -x "${BUILD:-build}/bench/lm" ] || make -s "BUILD=${BUILD:-build}" "${BUILD:-build}/bench/lm"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM

OPENBLAS_NUM_THREADS=1 "${BUILD:-build}/bench/lm" "$dir/decoder"
/usr/bin/python3 -c 'import torch' 2> /dev/null || exit 0
/usr/bin/python3 tests/bench/lm.py
