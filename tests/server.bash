# server_start, server_stop: tests/server.py for the tests of a file (call them in setup_file and teardown_file).
# Sets url (http://127.0.0.1:PORT), other_url and requests, the file of what was asked.
server_start() {
	requests=$BATS_FILE_TMPDIR/requests
	: > "$requests"
	/usr/bin/python3 "$BATS_TEST_DIRNAME/server.py" "$BATS_FILE_TMPDIR/ports" "$requests" 3>&- > "$BATS_FILE_TMPDIR/server.log" 2>&1 &
	server_pid=$!
	for _ in $(seq 200); do
		[ -s "$BATS_FILE_TMPDIR/ports" ] && break
		kill -0 "$server_pid" || return 1
		sleep .05
	done
	read -r port other_port < "$BATS_FILE_TMPDIR/ports"
	url=http://127.0.0.1:$port other_url=http://127.0.0.1:$other_port
	unset HARE_API_KEY OPENAI_API_KEY HARE_ENDPOINT HARE_POOL HARE_STATE HARE_MODEL
	export url other_url requests server_pid port other_port
}
server_stop() { kill "$server_pid"; }
