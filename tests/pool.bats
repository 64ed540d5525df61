bats_require_minimum_version 1.5.0

# A model of two dimensions and two clusters; vectors are given by hand. other.model is of another space.
setup_file() {
	cd "$BATS_FILE_TMPDIR"
	printf 'text\nred apple pie\nred apple tart\nblue sea wave\nblue sea ship\n' > texts.csv
	printf 'text\ngreen tree leaf\ngreen tree bark\nold stone wall\nold stone house\n' > others.csv
	hare-embed fit -o unit.model -d 2 --clusters 2 --min-df 1 texts.csv
	hare-embed fit -o other.model -d 2 --clusters 2 --min-df 1 others.csv
}

setup() {
	mkdir "$BATS_TEST_TMPDIR/work"          # bats leaves files of its own beside it
	cd "$BATS_TEST_TMPDIR/work"
	model=$BATS_FILE_TMPDIR/unit.model
	other=$BATS_FILE_TMPDIR/other.model
	printf 'id,title,x\na,"A, ""b""",1 0\nb,,0 1\nzero,"x\ny",0 0\nc,plain,0.6 0.8\n' > a.csv
}

value() { hare-pool info "${@:2}" | sed -n "s/^$1,//p"; }

@test "what dump writes is what build read" {
	run -0 --separate-stderr hare-pool build -m "$model" -o p a.csv
	[ -z "$output$stderr" ]
	hare-pool dump p > again.csv
	cmp a.csv again.csv
	hare-pool build -m "$model" -o q again.csv
	cmp p q
	hare-pool dump -T --vec b64 p | hare-pool build -T -m "$model" -o q
	cmp p q
}

@test "info tells rows, dimension, space, columns, segments, bytes, zero vectors and the spread of scores" {
	hare-pool build -m "$model" -o p a.csv
	run -0 --separate-stderr hare-pool info p
	[ "${lines[0]}" = key,value ]
	[ "${lines[1]}" = rows,4 ]
	[ "${lines[2]}" = dim,2 ]
	[[ "${lines[3]}" =~ ^space,[0-9a-f]{32}$ ]]
	[ "${lines[4]}" = clusters,2 ]
	[ "${lines[5]}" = columns,title ]
	[ "${lines[6]}" = segments,1 ]
	[ "${lines[7]}" = "bytes,$(stat -c %s p)" ]
	[ "${lines[8]}" = zero_vectors,1 ]
	# scores of the six pairs: 0 0 .6 0 .8 0, mean 1.4/6, mean square 1/6
	[[ "${lines[9]}" == score_sd,0.33499* ]]
	run -0 --separate-stderr hare-pool build -v -m "$model" -o p a.csv
	[ "$stderr" = 'hare-pool: p: 4 rows written, 1 of them with a zero vector' ]
}

@test "the same bytes for any number of threads" {
	for i in $(seq 2000); do echo "id$i,text $i,0.6 -0.8"; done | sed '1i id,text,x' > many.csv
	hare-pool build --threads 1 -m "$model" -o one many.csv
	hare-pool build --threads 3 -m "$model" -o three many.csv
	cmp one three
	[ "$(value rows one)" = 2000 ]
}

@test "cells with NUL, a megabyte, no UTF-8, quotes and line ends survive; BOM and CRLF are taken" {
	{ printf '\357\273\277id,t,u,x\r\na,"\0",\377\376,1 0\r\nb,"'; head -c 1000000 /dev/zero | tr '\0' y; printf '\n""",,"0 1"\r\n'; } > c.csv
	hare-pool build -m "$model" -o p c.csv
	hare-pool dump p > d.csv
	{ printf 'id,t,u,x\na,\0,\377\376,1 0\nb,"'; head -c 1000000 /dev/zero | tr '\0' y; printf '\n""",,0 1\n'; } > want.csv
	cmp want.csv d.csv
	run -0 hare-pool check p
}

@test "a pool grows: older rows stay, columns may differ, and dump, find and check see one pool" {
	hare-pool build -m "$model" -o p a.csv
	printf 'note,id,x\nhello,d,0 -1\n' | hare-pool add -m "$model" -p p
	run -0 hare-pool dump --no-x p
	[ "${lines[0]}" = id,title,note ]
	[ "${lines[5]}" = c,plain, ]
	[ "${lines[6]}" = d,,hello ]
	run -0 hare-pool get p d a
	[ "${lines[1]}" = 'd,,hello,0 -1' ]
	[ "${lines[2]}" = 'a,"A, ""b""",,1 0' ]
	run -0 hare-pool check p
	[ "$(value segments p)" = 2 ]
	hare-pool dump p | hare-pool build -m "$model" -o whole
	[ "$(value score_sd p)" = "$(value score_sd whole)" ]
	hare-pool merge -o merged p
	cmp merged whole
}

@test "a pool that grows keeps its permissions, and the link that leads to it" {
	hare-pool build -m "$model" -o p a.csv
	chmod 640 p
	ln -s p link
	printf 'id,x\nd,0 -1\n' | hare-pool add -m "$model" -p link
	[ "$(stat -c %a p)" = 640 ]
	[ -L link ]
	[ "$(value rows p)" = 5 ]
	hare-pool merge -o p p
	[ "$(value segments p)" = 1 ]
	[ "$(value rows p)" = 5 ]
}

@test "shards are the pool again, in their order" {
	for i in $(seq 23); do echo "id$i,text $i,0.6 -0.8"; done | sed '1i id,text,x' | hare-pool build -m "$model" -o p
	hare-pool shard -n 11 -o s p
	ls s.* > names
	[ "$(wc -l < names)" -eq 11 ]
	hare-pool merge -o m s.*
	cmp m p
	[ "$(value rows s.*)" = 23 ]
	[ "$(value score_sd s.*)" = "$(value score_sd p)" ]
	hare-pool dump s.* > d.csv
	hare-pool dump p | cmp - d.csv
}

@test "an id in two pools: info and get take both, merge refuses" {
	hare-pool build -m "$model" -o p a.csv
	run -0 hare-pool get -p p -p p a
	[ "${#lines[@]}" -eq 2 ]
	run -65 --separate-stderr hare-pool merge -o m p p
	[ "$stderr" = 'hare-pool: m: id "a" is there twice: records 1 and 5 of those that are added' ]
	[ ! -e m ]
}

@test "an id that is not there is named" {
	hare-pool build -m "$model" -o p a.csv
	run -65 --separate-stderr hare-pool get p a nobody
	[ "${lines[1]}" = 'a,"A, ""b""",1 0' ]
	[ "$stderr" = 'hare-pool: p: has no id "nobody"' ]
}

# Runs build on what printf makes of $1 and expects exit 65, $2 as the message and no pool.
refused() {
	printf "$1" > bad.csv
	run -65 --separate-stderr hare-pool build -m "$model" -o p bad.csv
	[ "$stderr" = "hare-pool: $2" ] || { echo "got: $stderr"; return 1; }
	[ -z "$output" ]
	[ ! -e p ]
	[ "$(ls -A | wc -l)" -eq 2 ]
}

@test "a bad id is named by line and column" {
	refused 'id,x\nok,1 0\n"a b",1 0\n' 'bad.csv:3: column id: expected an id without blanks, got "a b"'
	refused 'id,x\nok,1 0\n"a\tb",1 0\n' 'bad.csv:3: column id: expected an id without blanks, got "a?b"'
	refused 'id,x\n,1 0\n' 'bad.csv:2: column id: expected an id, got an empty cell'
	refused 'id,x\na,1 0\nb,0 1\na,0 1\n' 'p: id "a" is there twice: records 1 and 3 of those that are added'
}

@test "a bad vector is named by line and column" {
	refused 'id,x\na,1 0\nb,1 1\n' 'bad.csv:3: column x: expected a vector of length 1 or 0 (or --normalise), got length 1.41421'
	refused 'id,x\na,1\n' 'bad.csv:2: column x: expected 2 numbers, got 1'
	refused 'id,x\na,1 0 0\n' 'bad.csv:2: column x: expected 2 numbers, got 3'
	refused 'id,x\na,1 high\n' 'bad.csv:2: column x: "high" is not a number'
	refused 'id,x\na,nan 0\n' 'bad.csv:2: column x: "nan" is not a number'
	refused 'id,x\na,1e30 1e30\n' 'bad.csv:2: column x: expected a vector of length 1 or 0 (or --normalise), got length 1.41421e+30'
}

@test "a bad table is refused: missing column, ragged row, open quote, nothing at all" {
	for bad in 'id,y\na,1 0\n' 'x\n1 0\n' 'id,x\na\n' 'id,x\na,1 0,7\n' 'id,x\n"a,1 0\n' '' 'id,id,x\na,b,1 0\n' 'id,t,t,x\na,b,c,1 0\n' 'id,\377,x\na,b,1 0\n'; do
		printf "$bad" > bad.csv
		run -65 --separate-stderr hare-pool build -m "$model" -o p bad.csv
		[[ "$stderr" == 'hare-pool: '* ]]
		[ "${#stderr_lines[@]}" -eq 1 ]
		[ ! -e p ]
	done
}

@test "a header alone makes a pool without rows" {
	printf 'id,title,x\n' | hare-pool build -m "$model" -o p
	[ "$(value rows p)" = 0 ]
	[ "$(hare-pool dump p)" = id,title,x ]
	hare-pool check p
	hare-pool add -m "$model" -p p a.csv
	[ "$(hare-pool dump p)" = "$(cat a.csv)" ]
}

@test "--skip-bad goes on behind a bad row, --normalise brings vectors to unit length, --col renames" {
	printf 'pkg,x\na,3 4\n,1 0\nb,7\nc,0 0\n' > n.csv
	run -0 --separate-stderr hare-pool build --skip-bad --normalise --col id=pkg -m "$model" -o p n.csv
	[[ "$stderr" == *'2 bad rows skipped'* ]]
	[ "$(hare-pool dump p)" = "$(printf 'id,x\na,0.6 0.8\nc,0 0')" ]
}

@test "the file of another space, kind or version of itself is refused" {
	hare-pool build -m "$model" -o p a.csv
	run -65 --separate-stderr hare-pool add -m "$other" -p p a.csv
	[[ "$stderr" =~ ^hare-pool:\ p:\ is\ of\ embedding\ space\ [0-9a-f]{8},\ but\ .*other.model\ is\ of\ [0-9a-f]{8}$ ]]
	hare-pool build -m "$other" -o q a.csv
	run -65 --separate-stderr hare-pool merge -o m p q
	[[ "$stderr" =~ ^hare-pool:\ q:\ is\ of\ embedding\ space\ [0-9a-f]{8},\ but\ p\ is\ of\ [0-9a-f]{8}$ ]]
	run -65 --separate-stderr hare-pool info "$model"
	[[ "$stderr" == *'expected a file of kind "pool", got one of kind "model"' ]]
	run -65 --separate-stderr hare-pool build -m p -o q a.csv
	[ "$stderr" = 'hare-pool: p: expected a file of kind "model", got one of kind "pool"' ]
	run -65 --separate-stderr hare-pool info a.csv
	[ "${#stderr_lines[@]}" -eq 1 ]
}

@test "a pool that is cut or altered is found out by check, and read by nobody" {
	hare-pool build -m "$model" -o p a.csv
	size=$(stat -c %s p)
	for n in 0 5 8 100 1000 $((size - 1)); do
		head -c $n p > cut
		run -65 --separate-stderr hare-pool dump cut
		[ "${#stderr_lines[@]}" -eq 1 ]
		[[ "$stderr" == 'hare-pool: cut: '* ]]
	done
	printf 'id,x\nnew,1 0\n' > new.csv
	# a place in the size, the header, each part of the data, and the checksums
	header=$(od -An -t u8 -N 8 p | tr -d ' ')
	for at in 0 3 8 200 $((header + 8)) $((header + 8 + 64)) $((header + 8 + 128)) $((size - 100)) $((size - 1)); do
		cp p bad
		printf '\125' | dd of=bad bs=1 seek=$at conv=notrunc status=none
		cmp -s p bad && printf '\252' | dd of=bad bs=1 seek=$at conv=notrunc status=none
		run -65 --separate-stderr hare-pool check bad
		[[ "$stderr" == 'hare-pool: bad: '* ]]
		[ "${#stderr_lines[@]}" -eq 1 ]
		run -65 hare-pool dump bad
		run -65 hare-pool merge -o m bad
		run -65 hare-pool add -m "$model" -p bad new.csv
	done
	run -65 --separate-stderr hare-pool check -v p bad
	[ "${#stderr_lines[@]}" -eq 2 ]
}

@test "input that is missing, a folder or not readable" {
	run -66 --separate-stderr hare-pool info nothing
	[ "$stderr" = 'hare-pool: nothing: No such file or directory' ]
	run -66 --separate-stderr hare-pool info .
	[ "$stderr" = 'hare-pool: .: is a directory' ]
	run -66 hare-pool build -m "$model" -o p nothing.csv
	run -66 hare-pool build -m nothing -o p a.csv
	run -66 hare-pool build -m "$model" -o . a.csv
	run -66 hare-pool build -m "$model" -o nowhere/p a.csv
	run -66 hare-pool add -m "$model" -p nothing a.csv
	run -66 hare-pool build -m "$model" -o p --vectors nothing a.csv
	[ "$(id -u)" -ne 0 ] || return 0
	hare-pool build -m "$model" -o p a.csv
	chmod 0 p
	run -77 hare-pool info p
}

@test "what is missing on the command line is said" {
	run -64 --separate-stderr env -u HARE_MODEL hare-pool build -o p a.csv
	[ "${stderr_lines[0]}" = 'hare-pool: expected a MODEL: -m, or HARE_MODEL in the environment' ]
	run -64 hare-pool build -m "$model" a.csv
	run -64 env -u HARE_POOL hare-pool add -m "$model" a.csv
	run -64 env -u HARE_POOL hare-pool info
	run -64 env -u HARE_POOL hare-pool check
	run -64 hare-pool merge p
	run -64 hare-pool shard -o s p
	run -64 hare-pool get p
	run -64 hare-pool
	run -64 hare-pool build -m "$model" -o p --vectors v --skip-bad a.csv
	HARE_MODEL=$model hare-pool build -o p a.csv
	[ "$(HARE_POOL=p hare-pool dump)" = "$(cat a.csv)" ]
	HARE_POOL=p hare-pool check
}

@test "a full disk leaves the old pool and no remains" {
	hare-pool build -m "$model" -o p a.csv
	cp p before
	for i in $(seq 3000); do echo "id$i,some text that is long enough to fill a disk of this size $i,0.6 -0.8"; done | sed '1i id,text,x' > many.csv
	run -75 --separate-stderr bash -c "ulimit -f 100; hare-pool build -m '$model' -o p many.csv"
	[[ "$stderr" == 'hare-pool: '*': cannot write'*': File too large' ]]
	cmp p before
	run -75 bash -c "ulimit -f 100; hare-pool add -m '$model' -p p many.csv"
	cmp p before
	hare-pool build -m "$model" -o large many.csv
	run -75 bash -c "ulimit -f 100; hare-pool merge -o p large"
	cmp p before
	[ "$(ls -A)" = "$(printf 'a.csv\nbefore\nlarge\nmany.csv\np')" ]
}

@test "output that cannot be written is exit 74, a reader that leaves is quiet" {
	hare-pool build -m "$model" -o p a.csv
	run -74 sh -c "hare-pool info p > /dev/full"
	run -74 sh -c "hare-pool dump p > /dev/full"
	run -74 sh -c "hare-pool get p a > /dev/full"
	for i in $(seq 3000); do echo "id$i,some text $i,0.6 -0.8"; done | sed '1i id,text,x' | hare-pool build -m "$model" -o many
	run -0 --separate-stderr sh -c "hare-pool dump many | head -n 1"
	[ -z "$stderr" ]
}

@test "a build that is killed leaves the old pool and no remains" {
	hare-pool build -m "$model" -o p a.csv
	cp p before
	mkfifo pipe
	hare-pool build -m "$model" -o p pipe &
	pid=$!
	exec 5> pipe
	# more than fits in the pipe and in memory: when all is written most of it was read and has gone to a file
	{ echo id,text,x; head -c 4000000 /dev/zero | tr '\0' 'y' | fold -w 1000 | awk '{ print "id" NR "," $0 ",0.6 0.8" }'; } >&5
	kill -KILL $pid
	wait $pid 2> /dev/null || status=$?
	[ "$status" -eq 137 ]
	exec 5>&-
	cmp p before
	[ "$(ls -A)" = "$(printf 'a.csv\nbefore\np\npipe')" ]
}

@test "two cannot add at once: the second is told to come back, nothing is lost" {
	hare-pool build -m "$model" -o p a.csv
	mkfifo pipe
	hare-pool add -m "$model" -p p pipe &
	pid=$!
	exec 5> pipe
	{ echo id,text,x; for i in $(seq 4000); do echo "id$i,text that makes the pipe overflow,0.6 0.8"; done; } >&5
	printf 'id,x\nnew,1 0\n' > new.csv
	run -75 --separate-stderr hare-pool add -m "$model" -p p new.csv
	[ "$stderr" = 'hare-pool: p: another program is adding to it' ]
	exec 5>&-
	wait $pid
	hare-pool add -m "$model" -p p new.csv
	[ "$(value rows p)" = 4005 ]
}

@test "texts to a pool: the whole pipeline" {
	printf 'id,text\npie,red apple pie\nwave,blue sea wave\nnone,unheard words\n' |
		hare-embed -q -m "$model" -c text | hare-pool build -v -m "$model" -o p 2> said
	[ "$(cat said)" = 'hare-pool: p: 3 rows written, 1 of them with a zero vector' ]
	[ "$(value columns p)" = text ]
	[ "$(hare-pool get --no-x p wave | tail -n 1)" = 'wave,blue sea wave' ]
	hare-pool check p
}

@test "vectors kept in two bytes or one: what comes out is what was kept, and stays so" {
	awk 'BEGIN { srand(5); print "id,x"; for (i = 0; i < 40; i++) { a = rand() * 6.2831853; printf "r%d,%.8f %.8f\n", i, cos(a), sin(a) }
		print "zero,0 0"; print "one,1 0" }' > n.csv
	hare-pool build -m "$model" -o f32 n.csv
	for store in f16 bf16 int8; do
		hare-pool build --store $store --sketch -m "$model" -o $store n.csv
		[ "$(value store $store)" = $store ]
		[ "$(value sketch $store)" = yes ]
		hare-pool check $store
		hare-pool dump $store > out.csv
		paste -d' ' <(hare-pool dump f32 | tail -n +2 | cut -d, -f2) <(tail -n +2 out.csv | cut -d, -f2) |
			awk -v most=$([ $store = f16 ] && echo .0005 || echo .01) '{ a = $1 - $3; b = $2 - $4; if (a * a + b * b > most * most) exit 1 }'
		# merging keeps every byte, converting to more bits and back too
		hare-pool merge -o again $store
		cmp $store again
		hare-pool merge --store f32 -o wide $store
		hare-pool dump wide | cmp - out.csv
		hare-pool check wide
		hare-pool merge --store $store -o again wide
		cmp $store again
		# a pool that grows keeps its ways
		cp $store grown
		printf 'id,x\nnew,0.6 0.8\n' | hare-pool add -m "$model" -p grown
		[ "$(value store grown)$(value sketch grown)$(value segments grown)" = ${store}yes2 ]
		hare-pool check grown
		printf 'id,x\nnewer,0.6 0.8\n' | hare-pool add --store f32 --no-sketch -m "$model" -p grown
		[ "$(value store grown)$(value sketch grown)$(value segments grown)" = f32no3 ]
		hare-pool check grown
	done
	[ "$(stat -c %s int8)" -lt "$(stat -c %s f32)" ] || true
	run -64 hare-pool build --store f8 -m "$model" -o p n.csv
}

@test "shards are cut at multiples of 1,024 rows and know the whole" {
	awk 'BEGIN { print "id,x"; for (i = 0; i < 5000; i++) { a = i * 2.399963; printf "r%d,%.7f %.7f\n", i, cos(a), sin(a) } }' |
		hare-pool build -m "$model" -o p
	hare-pool shard -n 2 -o s p
	[ "$(value rows s.0)" = 2048 ]
	[ "$(value rows s.1)" = 2952 ]
	[ "$(value whole s.1)" = 5000 ]
	[ "$(value begins_at s.1)" = 2048 ]
	[ -z "$(value whole p)" ]
	hare-pool shard -n 7 -o t p
	[ "$(for i in 0 1 2 3 4 5 6; do value rows t.$i; done | tr '\n' ' ')" = '0 1024 1024 0 1024 1024 904 ' ]
	hare-pool merge -o m t.*
	cmp m p
	for i in 0 1 2 3 4 5 6; do hare-pool check t.$i; done
}
