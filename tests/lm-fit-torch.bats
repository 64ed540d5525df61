# Loss and gradients of the language model against PyTorch, which knows nothing of how ours are made.

torch_or_skip() {
	/usr/bin/python3 -c 'import torch' 2> /dev/null || skip "no torch"
	BUILD=${BUILD:-build}
	[ -x "$BUILD/tests/lm_fit" ] || make -s "$BUILD/tests/lm_fit"
}

@test "torch finds the same loss and gradients: prefix, prompt, copy head" {
	torch_or_skip
	"$BUILD/tests/lm_fit" dump all > "$BATS_TEST_TMPDIR/all"
	run /usr/bin/python3 tests/lm_fit_torch.py "$BATS_TEST_TMPDIR/all"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ "$output" == *"all 38 gradients agree"* ]]
}

@test "torch finds the same loss and gradients: plain GPT-2" {
	torch_or_skip
	"$BUILD/tests/lm_fit" dump plain > "$BATS_TEST_TMPDIR/plain"
	run /usr/bin/python3 tests/lm_fit_torch.py "$BATS_TEST_TMPDIR/plain"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ "$output" == *"all 28 gradients agree"* ]]
}

@test "a wrong gradient is found" {
	torch_or_skip
	"$BUILD/tests/lm_fit" dump plain | awk '$1 == "slope" && $2 == "ln_f.bias" { $5 += .01 } { print }' > "$BATS_TEST_TMPDIR/wrong"
	run /usr/bin/python3 tests/lm_fit_torch.py "$BATS_TEST_TMPDIR/wrong"
	[ "$status" -eq 1 ]
	[[ "$output" == *"ln_f.bias"* ]]
}
