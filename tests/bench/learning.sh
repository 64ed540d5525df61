#!/bin/sh
# Does it learn, and what is that worth beside other systems? All systems on recorded events and on simulated users.
# usage: BUILD=build DATA=folder [PARTS=names] [MINUTES=M] tests/bench/learning.sh
# DATA holds pool.csv.gz (id,title,text and for clicks tags). Where a folder in it has items.csv, events.train.csv,
# events.dev.csv, clicks.train.csv, relevance.train.csv.gz and relevance.dev.csv.gz these events are replayed: constants are
# chosen on the train users, results are of the dev users.
# Tables go to stdout; $BUILD/bench/learning/index.html has them with the figures, NAME.csv beside it has all numbers.
# It takes some hours of processor time, and so comes in parts, of five to ten minutes on two cores at most. What a part has
# measured is kept in $BUILD/bench/learning, and the next run goes on with those that are missing, unless a program or the
# pool is another one: then all begins anew.
# PARTS: run no others, of the names below; "none" only prints what is kept. MINUTES: begin no part after so many.
set -u
out=$BUILD/bench/learning
key=$(cat "$BUILD/hare-embed" "$BUILD/hare-pool" "$BUILD/hare-train" "$BUILD/hare-eval" "$DATA/pool.csv.gz" | cksum)
[ "$key" = "$(cat "$out/key" 2> /dev/null)" ] || rm -rf "$out"
mkdir -p "$out" && echo "$key" > "$out/key" || exit 1
begin=$(date +%s) n_missing=0 missing=

# part NAME COMMAND ...: runs it unless that was done, or is not wanted, or is too late
part() {
	name=$1; shift
	[ -e "$out/$name.done" ] && return
	case " ${PARTS:-$name} " in *" $name "*) wanted=1 ;; *) wanted=0 ;; esac
	if [ $wanted = 0 ] || { [ -n "${MINUTES:-}" ] && [ $(($(date +%s) - begin)) -ge $((60 * MINUTES)) ]; }; then
		n_missing=$((n_missing + 1)) missing="$missing $name"
		return
	fi
	start=$(date +%s)
	if "$@"; then
		echo "part $name: $(($(date +%s) - start)) s" | tee "$out/$name.done"
	else
		echo "bench failed: part $name"
		n_missing=$((n_missing + 1)) missing="$missing $name"
	fi
}
# evaluate NAME ARGUMENT ...: hare-eval into NAME.csv, whole or not at all
evaluate() {
	into=$out/$1.csv; shift
	hare-eval "$@" > "$into.new" && mv "$into.new" "$into"
}
# join_parts NAME PART ...: NAME.csv of all rows of the first part and those rows of the others that are not of hare, which
# each of them runs first, to pair the others with it
join_parts() {
	into=$1; shift
	rm -f "$out/$into.csv"
	for p; do
		[ -e "$out/$p.csv" ] || continue
		if [ -e "$out/$into.csv" ]; then awk -F, 'NR > 1 && $2 != "hare" && $2 != ""' "$out/$p.csv" >> "$out/$into.csv"
		else cp "$out/$p.csv" "$out/$into.csv"; fi
	done
}
# rows by system, columns by measure and block: table of a file, rows of those tables, in hundredths
table() {
	awk -F, -v tables="$2" -v factor="${3:-100}" '
		index(" " tables " ", " " $1 " ") {
			column = ($1 == "reward" || $1 == "regret" || $1 == "world") ? $5 : $4 " " $5
			if ($2 == "" || ($1 == "regret" && $5 % 50) || ($1 == "calibration" && $4 != "covered")) next
			if (!($2 in seen)) { seen[$2] = 1; name[++n] = $2 }
			if (!(column in at)) { at[column] = ++m; head[m] = column }
			v[$2, at[column]] = sprintf(factor == 1 ? "%.2f" : "%.1f", factor * $6) ($7 != "" ? sprintf(factor == 1 ? "+-%.2f" : "+-%.1f", factor * $7) : "")
		}
		END {
			printf "%-22s", "system"; for (j = 1; j <= m; j++) printf " %14s", head[j]; print ""
			for (i = 1; i <= n; i++) { printf "%-22s", name[i]; for (j = 1; j <= m; j++) printf " %14s", v[name[i], j]; print "" }
		}' "$out/$1.csv"
}
page() { printf '%s\n' "$*" >> "$out/index.html"; }
# heading, file, tables [, factor]
show() {
	[ -e "$out/$2.csv" ] || return 0
	echo; echo "$1"
	table "$2" "$3" "${4:-100}" | tee "$out/table.txt"
	page "<h3>$1</h3><pre>"; sed 's/&/\&amp;/g; s/</\&lt;/g' "$out/table.txt" >> "$out/index.html"; page "</pre>"
	rm -f "$out/table.txt"
}
figures() {
	for folder; do
		for f in curve regret entropy divergence attention; do
			[ -e "$out/$folder/$f.svg" ] && page "<img src=\"$folder/$f.svg\" alt=\"$f of $folder\">"
		done
	done
}
# tell FILE: what hare-train said
tell() { [ -e "$out/$1.log" ] && { echo; cat "$out/$1.log"; }; }

# -- the parts --

make_pool() {
	hare-embed fit -q -o "$out/model" -c title,text "$DATA/pool.csv.gz" &&
	hare-embed -q -m "$out/model" -c title,text "$DATA/pool.csv.gz" | hare-pool build -q -m "$out/model" -o "$out/pool"
}
[ -e "$out/pool" ] || make_pool || { echo "bench failed: no pool from DATA"; exit 0; }

events=$(find "$DATA" -mindepth 2 -maxdepth 2 -name events.dev.csv | head -n 1)
d=${events%/*}
replay() {
	as=$1; shift
	evaluate "$as" replay --items "$d/items.csv" --events "$d/events.dev.csv" --relevance "$d/relevance.dev.csv.gz" "$@"
}
tuned() {
	as=$1; shift
	replay "$as" -m "$out/model" -p "$out/pool" --train-events "$d/events.train.csv" --train-relevance "$d/relevance.train.csv.gz" \
		--train-clicks "$d/clicks.train.csv" --plots "$out/$as" --system "hare,$1"
}
# a space that the clicks of the train users teach
teach() {
	mlr --icsv --ocsv join -j event -f "$d/events.train.csv" then cut -o -f user,query,item "$d/clicks.train.csv" |
		hare-embed -q -m "$out/model" -c query |
		hare-train attention -v -m "$out/model" -p "$out/pool" "$@" 2>&1
}
train_space() {
	teach -o "$out/trained" > "$out/trained.log" &&
	hare-embed -q -m "$out/trained" --as item -c title,text "$DATA/pool.csv.gz" |
		hare-pool build -q -m "$out/trained" -o "$out/trained.pool"
}
in_trained_space() {
	{ [ -e "$out/trained.pool" ] || train_space; } &&
	replay trained -m "$out/trained" -p "$out/trained.pool" --system hare,hare-greedy,hare-alpha0,hare-nouser,cosine
}
# a decoder learns from four of five train users what people click; its constants are chosen on those whom it has not seen
train_decoder() {
	mlr --icsv --ocsv cut -f user then head -n 1 -g user then decimate -n 5 "$d/events.train.csv" > "$out/kept.csv" &&
	mlr --csv join -j user -f "$out/kept.csv" "$d/events.train.csv" > "$out/events.kept.csv" &&
	mlr --csv join -j event -f "$out/events.kept.csv" then cut -f event,item "$d/relevance.train.csv.gz" > "$out/relevance.kept.csv" &&
	mlr --csv join --np --ur -j user -f "$out/kept.csv" "$d/events.train.csv" > "$out/events.taught.csv" &&
	mlr --csv join -j event -f "$out/events.taught.csv" then join -j item -l id -r item -f "$DATA/pool.csv.gz" \
		then rename query,input,title,output then cut -o -f user,input,output "$d/clicks.train.csv" > "$out/pairs.csv" || return 1
	# the steps of five minutes at a time: the checkpoint is where the next run goes on
	hare-train decoder -q -m "$out/model" -o "$out/generator" --steps 5000 --items 8 --item-tokens 16 --question-tokens 20 \
		--text-tokens 24 --tokens 6144 --checkpoint "$out/generator.checkpoint" --resume "$@" "$out/pairs.csv"
}
write_queries() {
	replay generative -m "$out/model" -p "$out/pool" --train-events "$out/events.kept.csv" \
		--train-relevance "$out/relevance.kept.csv" --generator "$out/generator" --system generative,cosine,memory,rocchio,hare --no-probes
}
if [ -n "$events" ]; then
	part replay tuned replay-1 hare-nouser,hare-alpha0,hare-greedy,hare-recall,cosine,memory,linucb-user,thompson
	part trained in_trained_space
	part replay-constants tuned replay-2 hare-tuned
	part replay-heard tuned replay-3 hare-heard
	part replay-parts tuned replay-4 hare-nowiden,hare-wide,hare-query,hare-nob0,hare-deaf
	part replay-others tuned replay-5 rocchio,linucb-item,linucb-cluster,hybrid,history,random,prototype
	part clicked tuned replay-6 hare@clicks,hare-alpha0@clicks,cosine@clicks,memory@clicks,rocchio@clicks
	part clicked-others tuned replay-7 linucb-item@clicks,linucb-user@clicks,thompson@clicks,history@clicks
	part untuned replay untuned -m "$out/model" -p "$out/pool" --system hare,all --no-probes
	for stop in 1250 2500 3750 5000; do
		part "decoder-$stop" train_decoder --stop $stop
	done
	[ -e "$out/decoder-5000.done" ] && part generative write_queries
fi

simulate() {
	as=$1; shift
	evaluate "$as" simulate "$@"
}
clicks() {
	as=$1; shift
	simulate "$as" --world clicks -m "$out/model" -p "$out/pool" --seed 100 "$@"
}
for q in informative ambiguous; do
	part prototype-$q simulate prototype-$q --queries $q --seeds 10 --seed 100 --plots "$out/prototype-$q"
done
tags=0
gzip -dc "$DATA/pool.csv.gz" | head -n 1 | grep -q '\btags\b' && tags=1
worlds='informative --queries informative
empty --queries empty
drift --drift
sparse --reward .3
any --any'
halves() {
	for half in 1 2; do for in_space in untrained trained beside; do echo "$half $in_space"; done; done
}
# learnt from 150 people of one half of the interests, tried on others of the same half and of the other one: trained, and
# with plain vectors beside the learnt ones
learn_half() {
	clicks clicks-log --seeds 1 --split 1 --first-user 1000 --users 150 --no-probes --tune-users 0 --system hare --log "$out/clicks.log" &&
	hare-train attention -v -m "$out/model" -p "$out/pool" -o "$out/clicks.trained" "$out/clicks.log" > "$out/clicks.trained.log" 2>&1 &&
	hare-train attention -v --strangers -m "$out/model" -p "$out/pool" -o "$out/clicks.beside" "$out/clicks.log" > "$out/clicks.beside.log" 2>&1
}
on_half() {
	half=$1 in_space=$2; shift 2
	[ $in_space = untrained ] || set -- --trained "$out/clicks.$in_space"
	clicks "clicks-$in_space-$half" --seeds 1 --split "$half" --no-probes --system hare,hare-greedy,hare-nouser,linucb-user "$@"
}
if [ $tags = 1 ]; then
	part clicks clicks clicks-1 --plots "$out/clicks-1" --system hare,hare-nouser,hare-alpha0,hare-recall,cosine,linucb-user,thompson
	part clicks-constants clicks clicks-2 --plots "$out/clicks-2" --system hare,hare-tuned
	part clicks-heard clicks clicks-3 --plots "$out/clicks-3" --system hare,hare-heard
	part clicks-parts clicks clicks-4 --plots "$out/clicks-4" \
		--system hare,hare-nowiden,hare-wide,hare-query,hare-nob0,hare-greedy,hare-deaf
	part clicks-others clicks clicks-5 --plots "$out/clicks-5" \
		--system hare,random,memory,rocchio,linucb-item,linucb-cluster,hybrid,history,prototype
	some=hare,hare-alpha0,cosine,rocchio,linucb-item,linucb-user,hybrid,thompson,history
	echo "$worlds" > "$out/worlds"
	while read -r world what; do
		# shellcheck disable=SC2086
		part "clicks-$world" clicks "clicks-$world" --system $some --seeds 2 --no-probes $what < /dev/null
	done < "$out/worlds"
	part clicks-log learn_half
	halves > "$out/halves"
	while read -r half in_space; do
		[ -e "$out/clicks-log.done" ] && part "clicks-$in_space-$half" on_half "$half" "$in_space" < /dev/null
	done < "$out/halves"
fi

# -- what they have found --

rm -f "$out/index.html"
page '<!doctype html><meta charset="utf-8"><title>What HARE learns</title><h1>What HARE learns, beside other systems</h1>'
if [ -n "$events" ]; then
	page '<h2>Recorded events</h2><p>hare-eval(1) replay: percent of events, errors over users; new@5 counts items not shown before.'
	join_parts replay replay-1 replay-2 replay-3 replay-4 replay-5 replay-6 replay-7
	show 'Hits, percent' replay hit
	show 'Less those of the first system, percent' replay pair
	show 'Entropy of attention in nats after so many events; controls with rewards of 0 and with drawn ones' replay entropy 1
	show 'control: rewards of 0' replay entropy-zero 1
	show 'control: rewards drawn' replay entropy-chance 1
	show 'Two users, one query: 1 - cosine of z, and common items of the first five' replay divergence 1
	show 'Intervals of 50, 80 and 95 percent cover (foretold and observed rewards by tenths are in the CSV)' replay calibration
	show 'Microseconds an event' replay time 1
	figures replay-1 replay-2 replay-3 replay-4 replay-5 replay-6 replay-7
	show 'Default constants: hits, percent' untuned hit
	tell trained
	show 'Trained on the clicks of the train users: hits, percent' trained hit
	show 'Entropy of attention in nats' trained entropy 1
	show 'control: rewards of 0' trained entropy-zero 1
	show 'control: rewards drawn' trained entropy-chance 1
	show 'Two users, one query' trained divergence 1
	show 'Intervals of 50, 80 and 95 percent cover' trained calibration
	show 'Generative retrieval, beside what learns online only: hits, percent' generative hit
	show 'Less those of generative retrieval, percent' generative pair
	show 'Its constants' generative constants 1
	show 'Microseconds an event' generative time 1
else
	echo "no events in DATA: nothing is replayed"
fi
page '<h2>Simulated users</h2><p>hare-eval(1) simulate: rewards, percent.'
for q in informative ambiguous; do
	show "The prototype's world, $q queries: what could be earned" prototype-$q world
	show 'Rewards by round' prototype-$q reward
	show 'Regret' prototype-$q regret 1
	figures prototype-$q
done
if [ $tags = 1 ]; then
	join_parts clicks clicks-1 clicks-2 clicks-3 clicks-4 clicks-5
	show 'Clicks on tagged items, ambiguous queries: what could be earned' clicks world
	show 'Rewards by round' clicks reward
	show 'Regret' clicks regret 1
	show 'Less those of the first system' clicks pair
	show 'Intervals of 50, 80 and 95 percent cover (foretold and observed rewards by tenths are in the CSV)' clicks calibration
	figures clicks-1 clicks-2 clicks-3 clicks-4 clicks-5
	while read -r world what; do
		show "Clicks, $world: $what" "clicks-$world" reward
	done < "$out/worlds"
	tell clicks.trained
	tell clicks.beside
	while read -r half in_space; do
		show "Clicks, half $half of the interests, $in_space on half 1" "clicks-$in_space-$half" reward
	done < "$out/halves"
fi
echo
cat "$out"/*.done 2> /dev/null
[ $n_missing -eq 0 ] || echo "missing: $n_missing parts:$missing; the next run goes on with them"
echo "page: $out/index.html"
