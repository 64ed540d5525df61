# A checkpoint as GPT-2's are published gives what PyTorch gives, which knows nothing of how ours is made.

setup() {
	/usr/bin/python3 -c 'import torch' 2> /dev/null || skip "no torch"
	BUILD=${BUILD:-build}
	[ -x "$BUILD/tests/lm" ] || make -s "$BUILD/tests/lm"
}

# The largest difference of two tables of numbers; 999 if they are not of one shape.
difference() {
	paste -d' ' "$1" "$2" | awk -v n="$(head -n 1 "$2" | wc -w)" '
		NF != 2 * n { bad = 1 }
		{ for (i = 1; i <= n; i++) { d = $i - $(n + i); if (d < 0) d = -d; if (d > most) most = d } }
		END { print bad || NR == 0 ? 999 : most }'
}

@test "log probabilities of a checkpoint agree with torch to 1e-4" {
	for before in "" transformer.; do
		/usr/bin/python3 tests/lm_torch.py "$BATS_TEST_TMPDIR" $before
		cd "$BATS_TEST_TMPDIR"
		"$OLDPWD/$BUILD/tests/lm" "$PWD/model.safetensors" $(cat rows) > got
		cd "$OLDPWD"
		tail -n "$(wc -l < "$BATS_TEST_TMPDIR/got")" "$BATS_TEST_TMPDIR/expected" > "$BATS_TEST_TMPDIR/wanted"
		[ "$(wc -l < "$BATS_TEST_TMPDIR/wanted")" -ge 7 ]
		d=$(difference "$BATS_TEST_TMPDIR/got" "$BATS_TEST_TMPDIR/wanted")
		echo "difference $d"
		awk -v d="$d" 'BEGIN { exit !(d < 1e-4) }'
	done
}

@test "with another number of heads it does not" {
	/usr/bin/python3 tests/lm_torch.py "$BATS_TEST_TMPDIR"
	echo '{"n_head": 2}' > "$BATS_TEST_TMPDIR/config.json"
	"$BUILD/tests/lm" "$BATS_TEST_TMPDIR/model.safetensors" $(cat "$BATS_TEST_TMPDIR/rows") > "$BATS_TEST_TMPDIR/got"
	tail -n "$(wc -l < "$BATS_TEST_TMPDIR/got")" "$BATS_TEST_TMPDIR/expected" > "$BATS_TEST_TMPDIR/wanted"
	d=$(difference "$BATS_TEST_TMPDIR/got" "$BATS_TEST_TMPDIR/wanted")
	awk -v d="$d" 'BEGIN { exit !(d > 1e-3) }'
}
