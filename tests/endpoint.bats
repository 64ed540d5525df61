# hare-decode --endpoint: a language model behind HTTP, well and badly behaved. tests/server.py plays it on loopback.
bats_require_minimum_version 1.5.0
load server.bash

setup_file() { server_start; }
teardown_file() { server_stop; }
setup() {
	cd "$BATS_TEST_TMPDIR"
	printf 'id,query\n1,one\n2,two\n' > q.csv
	: > "$requests"
}

# what a model answers to q.csv
ask() { local model=$1; shift; hare-decode --endpoint "$url" --model "$model" --retry-wait .01 "$@" q.csv; }
n_requests() { wc -l < "$requests"; }
# jq on the requests, one result a line
asked() { jq -rc "$1" "$requests"; }

@test "the answer and what the server tells of it come behind the row, whose bytes stay" {
	printf '\357\273\277id,query,note\r\n1,"two ""q""",  a b \r\n' > q.csv
	run -0 --separate-stderr ask ok
	[ "${lines[0]}" = 'id,query,note,output,finish_reason,tokens_in,tokens_out' ]
	[ "${lines[1]}" = '1,"two ""q""",  a b ,"echo: two ""q""",stop,7,3' ]
	[ -z "$stderr" ]
}

@test "the query alone is the prompt when there is no pool" {
	ask ok > /dev/null
	[ "$(asked .body.messages | head -1)" = '[{"role":"user","content":"one"}]' ]
}

@test "a URL is taken with and without /v1, with a path in front, with a version of its own, with the whole path" {
	for u in "" / /v1 /v1/ /v1/chat/completions /llm /llm/v1 /v1beta/openai; do
		hare-decode --endpoint "$url$u" --model ok q.csv > /dev/null || true
	done
	[ "$(asked .path | sort | uniq -c | awk '{print $1, $2}')" = "$(printf '%s\n' '10 /v1/chat/completions' \
		'4 /llm/v1/chat/completions' '1 /v1beta/openai/chat/completions' | sort -k2)" ]
}

@test "what is no http URL is refused, and a password in a URL is not repeated" {
	for u in localhost:8080 ftp://localhost/ nonsense "file:///etc/passwd"; do
		run -64 --separate-stderr hare-decode --endpoint "$u" --model ok q.csv
		[[ "$stderr" == *"expected http://HOST"* ]]
	done
	run -64 --separate-stderr hare-decode --endpoint "http://me:sesame@127.0.0.1:$port" --model ok q.csv
	[[ "$stderr" == *"no user or password"* ]]
	[[ "$stderr" != *sesame* ]]
	[ "$(n_requests)" -eq 0 ]
}

@test "only what was set is sent" {
	ask ok > /dev/null
	[ "$(asked '.body | keys' | head -1)" = '["messages","model"]' ]
}

@test "all that was set is sent, as numbers and lists" {
	ask ok --temperature 0.25 --top-p .9 --max-tokens 50 --seed 18446744073709551615 --stop END --stop '"' --stream > /dev/null
	[ "$(asked '.body | del(.messages, .model, .seed)' | head -1)" = \
		'{"max_tokens":50,"temperature":0.25,"top_p":0.9,"stop":["END","\""],"stream":true}' ]
	grep -q '"seed": 18446744073709551615' "$requests"
}

@test "--system goes before the prompt" {
	ask ok --system 'Be "brief".' > /dev/null
	[ "$(asked '.body.messages[0]' | head -1)" = '{"role":"system","content":"Be \"brief\"."}' ]
}

@test "--extra is merged into the request and wins; what is no object is refused" {
	ask ok --temperature 1 --extra '{"temperature": 0, "reasoning": {"effort": "low"}}' > /dev/null
	[ "$(asked '.body | [.temperature, .reasoning.effort]' | head -1)" = '[0,"low"]' ]
	for extra in '[1]' '{"a":' ''; do
		run -64 --separate-stderr ask ok --extra "$extra"
		[[ "$stderr" == *--extra* ]]
	done
	[ "$(n_requests)" -eq 2 ]
}

@test "without --model the server's only one is taken; of several one must be chosen, and they are listed" {
	run -0 hare-decode --endpoint "$url" q.csv
	[ "$(asked '[.method, .path, .body.model]')" = '["GET","/v1/models",null]
["POST","/v1/chat/completions","ok"]
["POST","/v1/chat/completions","ok"]' ]
	run -64 --separate-stderr hare-decode --endpoint "$url/two" q.csv
	[[ "$stderr" == *"has 2 models: choose one by --model: small, large" ]]
	run -64 --separate-stderr hare-decode --endpoint "$url/none" q.csv
	[[ "$stderr" == *"has 0 models"* ]]
	run -64 --separate-stderr hare-decode --endpoint "$url/many" q.csv
	[ "${#stderr}" -lt 1000 ]
	run -69 --separate-stderr hare-decode --endpoint "$url/old" q.csv
	[[ "$stderr" == *"HTTP 404"*"--model"* ]]
}

@test "a 400 that names max_completion_tokens is asked once more in those words, and the next row at once" {
	run -0 --separate-stderr ask tokens --max-tokens 9
	[ "$(asked '.body | [.max_tokens, .max_completion_tokens]')" = '[9,null]
[null,9]
[null,9]' ]
}

@test "null content is an empty answer; a list of parts is one; without usage its columns are empty" {
	run -0 ask null
	[ "${lines[1]}" = '1,one,,length,7,3' ]
	run -0 ask parts
	[ "${lines[1]}" = '1,one,"one, two",stop,7,3' ]
	run -0 ask plain
	[ "${lines[1]}" = '1,one,echo: one,,,' ]
}

@test "408, 409, 429 and 5xx are tried again" {
	printf 'query\none\n' > q.csv
	for s in 408 409 429 500 502 503 529; do
		: > "$requests"
		run -0 --separate-stderr ask "busy-$s-2"
		[ "${lines[1]}" = 'one,echo: one,stop,7,3' ]
		[ -z "$stderr" ]
		[ "$(n_requests)" -eq 3 ]
	done
}

@test "five tries, or as many as --tries says, then 69 with the server's words" {
	run -69 --separate-stderr ask busy-503-99
	[ "$stderr" = "hare-decode: q.csv:2: $url/v1/chat/completions: HTTP 503: busy, try number 5 (5 tries)" ]
	[ "${#lines[@]}" -eq 1 ]
	[ "$(n_requests)" -eq 5 ]
	: > "$requests"
	run -69 ask busy-503-98 --tries 1
	[ "$(n_requests)" -eq 1 ]
}

@test "other faults are not tried again" {
	for s in 400 401 403 404 422; do
		: > "$requests"
		run -69 --separate-stderr ask "status-$s"
		[[ "$stderr" == *": HTTP $s: no entry for nobody or anybody" ]]
		[ "$(n_requests)" -eq 1 ]
	done
}

# seconds between the first two requests
gap() { jq -s '.[1].time - .[0].time' "$requests"; }

@test "Retry-After is waited for, in seconds and as a date; a long one only 120 times --retry-wait" {
	printf 'query\none\n' > q.csv
	run -0 ask after-1-1
	[ "$(gap | awk '{print ($1 >= .95)}')" = 1 ]
	: > "$requests"
	run -0 ask after-date-1
	[ "$(gap | awk '{print ($1 >= .5)}')" = 1 ]
	: > "$requests"
	run -0 timeout 60 hare-decode --endpoint "$url" --model after-3600-1 --retry-wait .005 q.csv
	[ "$(gap | awk '{print ($1 >= .55)}')" = 1 ]
}

@test "without Retry-After the waits double" {
	printf 'query\none\n' > q.csv
	run -0 ask busy-500-3 --retry-wait .1
	# with jitter of a quarter, the waits are at least .075, .15, .3
	[ "$(jq -s '(.[1].time - .[0].time >= .074) and (.[2].time - .[1].time >= .149) and (.[3].time - .[2].time >= .299)' "$requests")" = true ]
}

@test "a server that is not there is tried five times, then 69" {
	run -69 --separate-stderr hare-decode --endpoint http://127.0.0.1:1 --model ok --retry-wait .01 q.csv
	[[ "$stderr" == "hare-decode: q.csv:2: http://127.0.0.1:1/v1/chat/completions: "*" (5 tries)" ]]
}

@test "a connection lost before the answer began is tried again, in the middle of an answer it is not" {
	printf 'query\none\n' > q.csv
	run -0 ask drop-2
	[ "${lines[1]}" = 'one,echo: one,stop,7,3' ]
	: > "$requests"
	run -69 --separate-stderr ask sse-drop
	[[ "$stderr" == *"the answer was cut"* ]]
	[ "$(n_requests)" -eq 1 ]
	: > "$requests"
	run -69 --separate-stderr ask cut
	[[ "$stderr" == *"the answer was cut"* ]]
	[ "$(n_requests)" -eq 1 ]
}

@test "silence ends at --idle-timeout, slowness at --total-timeout; neither is tried again" {
	run -69 --separate-stderr ask hang --idle-timeout .3
	[[ "$stderr" == *"no byte for 0.3 seconds" ]]
	[ "$(n_requests)" -eq 1 ]
	run -69 --separate-stderr ask drip --idle-timeout 5 --total-timeout .5
	[[ "$stderr" == *"the answer was cut"* || "$stderr" == *"timed out"* ]]
	[ "$(n_requests)" -eq 2 ]
}

@test "time-outs, tries and jobs that make no sense are refused" {
	for o in '--idle-timeout 0' '--total-timeout -1' '--connect-timeout x' '--tries 0' '--jobs 0' '--retry-wait -1' '--seed -3' '--max-tokens few'; do
		run -64 --separate-stderr ask ok $o
	done
	[ "$(n_requests)" -eq 0 ]
}

@test "what is no answer is 69, and says what came instead" {
	while read -r model words; do
		run -69 --separate-stderr ask "$model"
		[[ "$stderr" == *"$words"* ]]
		[ "${#stderr_lines[@]}" -eq 1 ]
	done <<'LIST'
html expected JSON, got <html><body>Welcome
broken expected JSON, got {"choices"
empty expected JSON, got nothing
nothing expected choices[0].message, got
error the server reports: the model fell over
LIST
}

@test "streams: lines cut anywhere, CRLF and CR, comments, no blank after data:, several data lines, empty choices" {
	printf 'query\none\n' > q.csv
	for m in sse-crlf sse-cr sse-comments sse-tight sse-late; do
		run -0 --separate-stderr ask $m --stream
		[ "${lines[1]}" = 'one,Grün and gold.,stop,,' ]
		[ -z "$stderr" ]
	done
	run -0 ask sse-ok --stream
	[ "${lines[1]}" = 'one,Grün and gold.,stop,7,3' ]
	run -0 ask sse-lines --stream
	[ "${lines[1]}" = 'one,Two lines.,,,' ]
	run -0 ask sse-null --stream
	[ "${lines[1]}" = 'one,,stop,,' ]
	# a server that does not know streams
	run -0 ask ok --stream
	[ "${lines[1]}" = 'one,echo: one,stop,7,3' ]
}

@test "streams: an error after HTTP 200, broken JSON, an end before [DONE] are 69, and no half answer comes out" {
	while read -r model words; do
		: > "$requests"
		run -69 --separate-stderr ask "$model" --stream
		[[ "$stderr" == *"$words"* ]]
		[ "${#lines[@]}" -eq 1 ]
		[ "$(n_requests)" -eq 1 ]
	done <<'LIST'
sse-error the server reports: the model fell over
sse-error-first the server reports: out of memory
sse-broken expected JSON in the stream
sse-cut ended before [DONE]
sse-cut-line ended before [DONE]
LIST
}

@test "--plain prints the answers, a blank line between them, streamed or not" {
	ask sse-ok --stream --plain > streamed
	printf 'Grün and gold.\n\nGrün and gold.\n' | cmp - streamed
	ask ok --plain > whole
	printf 'echo: one\n\necho: two\n' | cmp - whole
}

@test "-j asks at once; the answers come in the order of the rows, however late the first is" {
	printf 'query\na....\nb...\nc.\nd\n' > q.csv
	run -0 ask order -j 4
	[ "${lines[*]:1}" = 'a....,echo: a....,stop,7,3 b...,echo: b...,stop,7,3 c.,echo: c.,stop,7,3 d,echo: d,stop,7,3' ]
	: > "$requests"
	run -0 ask together-4 -j 4 --tries 1
	[ "${#lines[@]}" -eq 5 ]
}

@test "an answer comes out while the input is still open" {
	mkfifo in
	hare-decode --endpoint "$url" --model ok < in > out 3>&- &
	exec 7> in
	printf 'query\none\n' >&7
	for _ in $(seq 100); do [ "$(wc -l < out)" -eq 2 ] && break; sleep .05; done
	run -0 cat out
	exec 7>&-
	wait
	[ "${lines[1]}" = 'one,echo: one,stop,7,3' ]
}

@test "a failure ends the run after the rows before it; with -j too" {
	printf 'query\nfirst\nsecond\nfail-400\nfourth\nfifth\n' > q.csv
	: > "$requests"
	run -69 ask picky -j 1
	[ "$(n_requests)" -eq 3 ]       # before -j 3, whose last requests the server may see late
	for j in 1 3; do
		run -69 --separate-stderr ask picky -j $j
		[ "${#lines[@]}" -eq 3 ]
		[ "${lines[2]}" = 'second,echo: second,stop,7,3' ]
		[ "$stderr" = "hare-decode: q.csv:4: $url/v1/chat/completions: HTTP 400: cannot answer fail-400" ]
	done
}

@test "--keep-going puts failures in a column error, tells their number, and exits 0" {
	printf 'query\nfirst\nfail-400\nthird\n' > q.csv
	run -0 --separate-stderr ask picky --keep-going -j 2
	[ "${lines[0]}" = 'query,output,finish_reason,tokens_in,tokens_out,error' ]
	[ "${lines[1]}" = 'first,echo: first,stop,7,3,' ]
	[ "${lines[2]}" = "fail-400,,,,,$url/v1/chat/completions: HTTP 400: cannot answer fail-400" ]
	[ "${lines[3]}" = 'third,echo: third,stop,7,3,' ]
	[ "$stderr" = 'hare-decode: 1 request failed: see the column error' ]
}

@test "--cache makes a rerun free and the same; other requests are asked" {
	run -0 ask ok --cache kept --max-tokens 5
	first=$output
	[ "$(n_requests)" -eq 2 ]
	[ "$(stat -c %a kept)" = 600 ]
	run -0 ask ok --cache kept --max-tokens 5
	[ "$output" = "$first" ]
	run -0 ask ok --cache kept --max-tokens 5 --stream -j 2
	[ "$output" = "$first" ]
	[ "$(n_requests)" -eq 2 ]
	run -0 ask ok --cache kept --max-tokens 6
	[ "$(n_requests)" -eq 4 ]
}

@test "--cache: failures are not kept, so that a rerun goes on where the run failed" {
	printf 'query\nr-first\nr-second\nr once-400\nr-fourth\n' > q.csv
	run -69 --separate-stderr ask picky --cache kept
	[ "${#lines[@]}" -eq 3 ]
	: > "$requests"
	run -0 ask picky --cache kept
	[ "${#lines[@]}" -eq 5 ]
	[ "$(asked '.body.messages[0].content')" = 'r once-400
r-fourth' ]
}

@test "--cache: a torn last entry and a damaged one are passed over and asked again, the others stay" {
	ask ok --cache kept > /dev/null
	size=$(stat -c %s kept)
	truncate -s $((size - 5)) kept
	run -0 ask ok --cache kept
	[ "${lines[2]}" = '2,two,echo: two,stop,7,3' ]
	[ "$(n_requests)" -eq 3 ]
	run -0 ask ok --cache kept
	[ "$(n_requests)" -eq 3 ]
	sed -i 's/echo: one/echo: uno/' kept
	run -0 ask ok --cache kept
	[ "${lines[1]}" = '1,one,echo: one,stop,7,3' ]
	[ "$(n_requests)" -eq 4 ]
}

@test "--cache: two processes share a file" {
	for k in a b; do
		{ echo query; seq -f "$k %g" 30; } > $k.csv
		hare-decode --endpoint "$url" --model ok --cache kept -j 3 $k.csv > $k.out 3>&- &
	done
	wait
	[ "$(n_requests)" -eq 60 ]
	for k in a b; do
		hare-decode --endpoint "$url" --model ok --cache kept $k.csv | cmp - $k.out
	done
	[ "$(n_requests)" -eq 60 ]
	[ "$(wc -l < kept)" -eq 61 ]
}

@test "--cache: a file that is something else is left alone; a cut beginning is mended; a folder is refused" {
	run -65 --separate-stderr ask ok --cache q.csv
	[[ "$stderr" == *"is no cache of answers"* ]]
	[ "$(head -1 q.csv)" = id,query ]
	printf 'hare-ca' > kept
	run -0 ask ok --cache kept
	[ "$(head -1 kept)" = 'hare-cache 1' ]
	mkdir folder
	run -66 ask ok --cache folder
}

@test "the key comes from HARE_API_KEY, else OPENAI_API_KEY, or a file; without one none is sent" {
	printf 'query\none\n' > q.csv
	ask ok > /dev/null
	OPENAI_API_KEY=second ask ok > /dev/null
	HARE_API_KEY=first OPENAI_API_KEY=second ask ok > /dev/null
	printf 'third\n' > key
	HARE_API_KEY=first ask ok --key-file key > /dev/null
	[ "$(asked .headers.authorization)" = 'null
Bearer second
Bearer first
Bearer third' ]
}

@test "the key is in no message, though the server repeats it" {
	export HARE_API_KEY=sk-0123456789abcdef
	run -69 ask status-401
	[[ "$output" == *'no entry for Bearer *** or anybody'* ]]
	[[ "$output" != *0123456789* ]]
	run -0 ask status-401 --keep-going -v
	[[ "$output" != *0123456789* ]]
	run -69 ask busy-500-9 -v
	[[ "$output" != *0123456789* ]]
	run -0 ask ok --dry-run
	[[ "$output" != *0123456789* ]]
	HARE_API_KEY='sk-0123456789 abcdef' run -65 ask ok
	[[ "$output" == *"HARE_API_KEY: expected a key of one word"* ]]
	[[ "$output" != *0123456789* ]]
}

@test "a key file that is missing, empty or too long is named" {
	run -66 --separate-stderr ask ok --key-file none
	[[ "$stderr" == *"none: No such file"* ]]
	: > empty
	run -65 --separate-stderr ask ok --key-file empty
	[[ "$stderr" == *"empty: expected a key"* ]]
	head -c 5000 /dev/zero | tr '\0' k > long
	run -65 --separate-stderr ask ok --key-file long
	[ "$(n_requests)" -eq 0 ]
}

@test "a redirect to another host gets the question but not the key; one on the same host gets both" {
	printf 'query\none\n' > q.csv
	export HARE_API_KEY=sesame
	for s in 301 302 307 308; do
		: > "$requests"
		run -0 ask redirect-$s
		[ "${lines[1]}" = 'one,echo: one,stop,7,3' ]
		[ "$(asked '[.server, .method, .headers.authorization]')" = '["main","POST","Bearer sesame"]
["other","POST",null]' ]
	done
	: > "$requests"
	run -0 ask here-307
	[ "$(asked '[.server, .path, .headers.authorization]')" = '["main","/v1/chat/completions","Bearer sesame"]
["main","/there/v1/chat/completions","Bearer sesame"]' ]
	run -69 --separate-stderr ask file-302
	[[ "$output" != *root:* ]]
}

@test "localhost is asked directly, whatever proxy the environment names" {
	http_proxy=http://127.0.0.1:1 all_proxy=http://127.0.0.1:1 run -0 ask ok
	[ "${lines[1]}" = '1,one,echo: one,stop,7,3' ]
}

@test "--dry-run prints the requests without the key and sends nothing" {
	HARE_API_KEY=sesame run -0 --separate-stderr ask ok --dry-run --temperature 0 --cache kept
	[ "${lines[0]}" = "POST $url/v1/chat/completions" ]
	[ "${lines[2]}" = 'Authorization: Bearer (from HARE_API_KEY)' ]
	[ "${lines[3]}" = '{"model":"ok","messages":[{"role":"user","content":"one"}],"temperature":0}' ]
	[ "$(n_requests)" -eq 0 ]
	[ ! -e kept ]
	run -64 hare-decode --dry-run q.csv
	run -64 --separate-stderr hare-decode --prompt --model ok q.csv
	[[ "$stderr" == *"for --endpoint"* ]]
}

@test "a query that is missing or no UTF-8 is named by line and column; --skip-bad passes it over" {
	printf 'id,text\n1,one\n' > q.csv
	run -65 --separate-stderr ask ok
	[[ "$stderr" == *query*"id, text"* ]]
	printf 'query\none\n\377\ntwo\n' > q.csv
	run -65 --separate-stderr ask ok
	[[ "$stderr" == "hare-decode: q.csv:3: column query: expected UTF-8"* ]]
	[ "${#lines[@]}" -eq 2 ]
	run -0 --separate-stderr ask ok --skip-bad
	[ "${#lines[@]}" -eq 3 ]
}

@test "JSON Lines have numbers of tokens, and answers with everything that a string can hold" {
	run -0 bash -c "hare-decode --endpoint '$url' --model ok -J q.csv | jq -c '[.output, .tokens_in, .tokens_out]'"
	[ "${lines[0]}" = '["echo: one",7,3]' ]
}

@test "a header alone asks nothing; a full disk is 74" {
	printf 'query\n' > q.csv
	run -0 ask ok
	[ "$output" = 'query,output,finish_reason,tokens_in,tokens_out' ]
	[ "$(n_requests)" -eq 0 ]
	printf 'query\none\n' > q.csv
	run -74 sh -c "hare-decode --endpoint '$url' --model ok q.csv > /dev/full"
	run -74 sh -c "hare-decode --endpoint '$url' --model ok --plain q.csv > /dev/full"
}
