#!/bin/sh
# Does it learn, and what is that worth beside other systems? All systems on recorded events and on simulated users.
# usage: BUILD=build DATA=folder tests/bench/learning.sh
# DATA holds pool.csv.gz (id,title,text and for clicks tags). Where a folder in it has items.csv, events.train.csv,
# events.dev.csv, clicks.train.csv, relevance.train.csv.gz and relevance.dev.csv.gz these events are replayed: constants are
# chosen on the train users, results are of the dev users.
# Tables go to stdout; $BUILD/bench/learning/index.html has them with the figures, NAME.csv beside it has all numbers.
# Takes half an hour of processor time.
set -u
out=$BUILD/bench/learning
rm -rf "$out"; mkdir -p "$out" || exit 1
run() {
	into=$out/$1.csv; shift
	hare-eval "$@" > "$into" || { echo "bench failed: hare-eval $*"; return 1; }
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
	echo; echo "$1"
	table "$2" "$3" "${4:-100}" | tee "$out/table.txt"
	page "<h3>$1</h3><pre>"; sed 's/&/\&amp;/g; s/</\&lt;/g' "$out/table.txt" >> "$out/index.html"; page "</pre>"
	rm -f "$out/table.txt"
}
figures() {
	for f in curve regret entropy divergence attention; do
		[ -e "$out/$1/$f.svg" ] && page "<img src=\"$1/$f.svg\" alt=\"$f of $1\">"
	done
}
page '<!doctype html><meta charset="utf-8"><title>What HARE learns</title><h1>What HARE learns, beside other systems</h1>'

hare-embed fit -q -o "$out/model" -c title,text "$DATA/pool.csv.gz" &&
	hare-embed -q -m "$out/model" -c title,text "$DATA/pool.csv.gz" | hare-pool build -q -m "$out/model" -o "$out/pool" ||
	{ echo "bench failed: no pool from DATA"; exit 0; }

events=$(find "$DATA" -mindepth 2 -maxdepth 2 -name events.dev.csv | head -n 1)
if [ -n "$events" ]; then
	d=${events%/*}
	page '<h2>Recorded events</h2><p>hare-eval(1) replay: percent of events, errors over users; new@5 counts items not shown before.'
	start=$(date +%s)
	run untuned replay -m "$out/model" -p "$out/pool" --items "$d/items.csv" --events "$d/events.dev.csv" \
		--relevance "$d/relevance.dev.csv.gz" && echo "all systems with their default constants: $(($(date +%s) - start)) s"
	run replay replay -m "$out/model" -p "$out/pool" --items "$d/items.csv" --events "$d/events.dev.csv" \
		--relevance "$d/relevance.dev.csv.gz" --train-events "$d/events.train.csv" --train-relevance "$d/relevance.train.csv.gz" \
		--train-clicks "$d/clicks.train.csv" --plots "$out/replay" \
		--system all,hare@clicks,hare-alpha0@clicks,cosine@clicks,memory@clicks,rocchio@clicks,linucb-item@clicks,linucb-user@clicks,thompson@clicks,history@clicks
	show 'Hits, percent' replay hit
	show 'Less those of the first system, percent' replay pair
	show 'Entropy of attention in nats after so many events; controls with rewards of 0 and with drawn ones' replay 'entropy' 1
	show 'control: rewards of 0' replay entropy-zero 1
	show 'control: rewards drawn' replay entropy-chance 1
	show 'Two users, one query: 1 - cosine of z, and common items of the first five' replay divergence 1
	show 'Intervals of 50, 80 and 95 percent cover (foretold and observed rewards by tenths are in the CSV)' replay calibration
	show 'Microseconds an event' replay time 1
	figures replay
	# the same events in the space that the clicks of the train users teach
	mlr --icsv --ocsv join -j event -f "$d/events.train.csv" then cut -o -f user,query,item "$d/clicks.train.csv" |
		hare-embed -q -m "$out/model" -c query | hare-train attention -v -m "$out/model" -p "$out/pool" -o "$out/trained" &&
		hare-embed -q -m "$out/trained" --as item -c title,text "$DATA/pool.csv.gz" | hare-pool build -q -m "$out/trained" -o "$out/trained.pool" ||
		echo "bench failed: no trained space"
	run trained replay -m "$out/trained" -p "$out/trained.pool" --items "$d/items.csv" --events "$d/events.dev.csv" \
		--relevance "$d/relevance.dev.csv.gz" --system hare,hare-greedy,hare-alpha0,hare-nouser,cosine
	show 'Trained on the clicks of the train users: hits, percent' trained hit
	show 'Entropy of attention in nats' trained entropy 1
	show 'control: rewards of 0' trained entropy-zero 1
	show 'control: rewards drawn' trained entropy-chance 1
	show 'Two users, one query' trained divergence 1
	show 'Intervals of 50, 80 and 95 percent cover' trained calibration
	# a decoder learns from four of five train users what people click; its constants are chosen on those whom it has not seen
	mlr --icsv --ocsv cut -f user then head -n 1 -g user then decimate -n 5 "$d/events.train.csv" > "$out/kept.csv"
	mlr --csv join -j user -f "$out/kept.csv" "$d/events.train.csv" > "$out/events.kept.csv" &&
		mlr --csv join -j event -f "$out/events.kept.csv" then cut -f event,item "$d/relevance.train.csv.gz" > "$out/relevance.kept.csv" &&
		mlr --csv join --np --ur -j user -f "$out/kept.csv" "$d/events.train.csv" > "$out/events.taught.csv" &&
		mlr --csv join -j event -f "$out/events.taught.csv" then join -j item -l id -r item -f "$DATA/pool.csv.gz" \
			then rename query,input,title,output then cut -o -f user,input,output "$d/clicks.train.csv" > "$out/pairs.csv" &&
		hare-train decoder -q -m "$out/model" -o "$out/generator" --steps 5000 --items 8 --item-tokens 16 --question-tokens 20 \
			--text-tokens 24 --tokens 6144 "$out/pairs.csv" || echo "bench failed: no decoder that writes queries"
	run generative replay -m "$out/model" -p "$out/pool" --items "$d/items.csv" --events "$d/events.dev.csv" \
		--relevance "$d/relevance.dev.csv.gz" --train-events "$out/events.kept.csv" --train-relevance "$out/relevance.kept.csv" \
		--generator "$out/generator" --system generative,cosine,memory,rocchio,hare --no-probes
	show 'Generative retrieval, beside what learns online only: hits, percent' generative hit
	show 'Less those of generative retrieval, percent' generative pair
	show 'Its constants' generative constants 1
	show 'Microseconds an event' generative time 1
else
	echo "no events in DATA: nothing is replayed"
fi

page '<h2>Simulated users</h2><p>hare-eval(1) simulate: rewards, percent.'
for q in informative ambiguous; do
	run "prototype-$q" simulate --queries $q --seeds 10 --seed 100 --plots "$out/prototype-$q"
	show "The prototype's world, $q queries: what could be earned" "prototype-$q" world
	show 'Rewards by round' "prototype-$q" reward
	show 'Regret' "prototype-$q" regret 1
	figures "prototype-$q"
done
if gzip -dc "$DATA/pool.csv.gz" | head -n 1 | grep -q '\btags\b'; then
	clicks() { as=$1; shift; run "$as" simulate --world clicks -m "$out/model" -p "$out/pool" --seed 100 "$@"; }
	clicks clicks --plots "$out/clicks"
	show 'Clicks on tagged items, ambiguous queries: what could be earned' clicks world
	show 'Rewards by round' clicks reward
	show 'Regret' clicks regret 1
	show 'Less those of the first system' clicks pair
	show 'Intervals of 50, 80 and 95 percent cover (foretold and observed rewards by tenths are in the CSV)' clicks calibration
	figures clicks
	some=hare,hare-alpha0,cosine,rocchio,linucb-item,linucb-user,hybrid,thompson,history
	while read -r name what; do
		# shellcheck disable=SC2086
		clicks "clicks-$name" --system $some --seeds 2 --no-probes $what
		show "Clicks, $name: $what" "clicks-$name" reward
	done <<-END
	informative --queries informative
	empty --queries empty
	drift --drift
	sparse --reward .3
	any --any
	END
	# learnt from 150 people of one half of the interests, tried on others of the same half and of the other one
	clicks clicks-log --seeds 1 --split 1 --first-user 1000 --users 150 --no-probes --tune-users 0 --system hare --log "$out/clicks.log"
	# trained, and with plain vectors beside the learnt ones
	hare-train attention -v -m "$out/model" -p "$out/pool" -o "$out/clicks.trained" "$out/clicks.log" &&
		hare-train attention -v --strangers -m "$out/model" -p "$out/pool" -o "$out/clicks.beside" "$out/clicks.log" ||
		echo "bench failed: nothing learnt"
	for half in 1 2; do
		for in_space in untrained trained beside; do
			trained=
			[ $in_space = untrained ] || trained="--trained $out/clicks.$in_space"
			# shellcheck disable=SC2086
			clicks "clicks-$in_space-$half" --seeds 1 --split $half --no-probes --system hare,hare-greedy,hare-nouser,linucb-user $trained
			show "Clicks, half $half of the interests, $in_space on half 1" "clicks-$in_space-$half" reward
		done
	done
fi
echo; echo "page: $out/index.html"
