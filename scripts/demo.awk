# demo.awk - what scripts/demo shows, from the CSV files of its folder
#
# usage: awk -f scripts/csv.awk -f scripts/demo.awk -v show=WHAT [-v width=80] [-v colour=1] [-v bar=#] FILE ...
#   number-rows FILE     the same records with a column id (r1, r2, ...) in front
#   columns FILE         the names of the columns but id, with commas
#   ids ANSWERS          all items of the answers, one a line
#   learnt POOL HISTORY  a line per user: what was liked, and of which kind
#   blocks TITLES ANSWERS    per user: the heaviest items with bars, the breadth, the answer
#   texts ANSWERS        per user: the answer
#   table TITLES ANSWERS     users x breadth
#   differ ANSWERS       users x users: shared items and 1 - cosine of what was attended
#   verdict ANSWERS      one sentence on whether users are narrower than who has no history, and differ
#   stories NEIGHBOURS   a history for made-up readers who like what lies around three of the items
# Everything is counted in bytes (LC_ALL=C), and widths in bytes that begin a character.

function n_quote(s) { return gsub(/"/, "", s) }
function display_width(s) { gsub(/[\200-\277]/, "", s); return length(s) }
function padded(s, w,    n) { n = w - display_width(s); return n > 0 ? s sprintf("%" n "s", "") : s }
function right(s, w,    n) { n = w - display_width(s); return n > 0 ? sprintf("%" n "s", "") s : s }
# At most w columns of s, with ... where something was cut.
function shortened(s, w,    i, n) {
	if (display_width(s) <= w)
		return s
	for (i = 1; i <= length(s) && n < w - 3; i++)
		if (substr(s, i, 1) !~ /[\200-\277]/)
			n++
	while (substr(s, i, 1) ~ /[\200-\277]/)
		i++
	s = substr(s, 1, i - 1)
	sub(/[ ,;:.]+$/, "", s)
	return s "..."
}
function bold(s) { return colour ? "\033[1m" s "\033[0m" : s }
function dim(s) { return colour ? "\033[2m" s "\033[0m" : s }
function tinted(s, k) { return colour ? "\033[" 31 + (k + 4) % 6 "m" s "\033[0m" : s }
function bars(share, k,    s, i) {
	for (i = 1; i <= int(share * 20 + 0.5); i++)
		s = s bar
	return tinted(s, k) sprintf("%" 20 - (i - 1) "s", "")
}
# Prints s in lines of at most width columns behind indent.
function wrapped(s, indent,    n, w, i, line) {
	n = split(s, w, /[ \t\n]+/)
	for (i = 1; i <= n; i++) {
		if (w[i] == "")
			continue
		if (line != "" && display_width(indent line " " w[i]) > width) {
			print indent line
			line = w[i]
		} else
			line = line == "" ? w[i] : line " " w[i]
	}
	if (line != "")
		print indent line
}
function title_of(id) { return id in title && title[id] != "" ? title[id] : id }

BEGIN {
	if (!width)
		width = 80
	if (bar == "")
		bar = "#"
}
FNR == 1 {
	n_file++
	record = ""
	row = 0
	sub(/^\357\273\277/, "")
}
{
	sub(/\r$/, "")
	record = record == "" ? $0 : record "\n" $0
	if (n_quote(record) % 2)
		next
	whole = record
	record = ""
	if (whole == "")
		next
	row++
	if (show == "number-rows") {
		print (row == 1 ? "id" : "r" row - 1) "," whole
		next
	}
	n = split_record(whole, cell)
	if (row == 1) {
		for (name in at)
			delete at[name]
		for (i = 1; i <= n; i++)
			at[cell[i]] = i
		if (show == "columns") {
			for (i = 1; i <= n; i++)
				if (cell[i] != "id")
					printf "%s%s", n_shown++ ? "," : "", cell[i]
			print ""
			exit
		}
		# what stands for an item: its title, else its first column that is not the id
		title_at = "title" in at ? at["title"] : "name" in at ? at["name"] : !("id" in at) ? 1 : at["id"] == 1 && n > 1 ? 2 : 1
		next
	}
	if (show == "ids") {
		m = split(cell[at["items"]], item, " ")
		for (i = 1; i <= m; i++)
			if (!seen[item[i]]++)
				print item[i]
	} else if (show == "stories") {
		n_seed++
		neighbours[n_seed] = cell[at["items"]]
	} else if (("id" in at) && !("items" in at)) {
		s = cell[title_at]
		gsub(/[ \t\n]+/, " ", s)
		title[cell[at["id"]]] = s
		if ("category" in at)
			kind[cell[at["id"]]] = cell[at["category"]]
		else if ("department" in at)
			kind[cell[at["id"]]] = cell[at["department"]]
	} else if ("reward" in at) {
		u = cell[at["user"]]
		if (!(u in n_event))
			user[++n_user] = u
		n_event[u]++
		if (cell[at["reward"]] > 0) {
			n_liked[u]++
			k = kind[cell[at["item"]]]
			if (++n_of[u, k] > n_of[u, main_kind[u]] && k != "")
				main_kind[u] = k
			s = title_of(cell[at["item"]])
			if (display_width(liked[u] s) < width - 18)
				liked[u] = liked[u] s ", "
		}
	} else if ("items" in at) {
		u = cell[at["user"]]
		user[++n_user] = u
		items[u] = cell[at["items"]]
		weights[u] = cell[at["weights"]]
		entropy[u] = cell[at["entropy"]]
		uncertainty[u] = cell[at["uncertainty"]]
		output[u] = cell[at["output"]]
		if (show == "differ" || show == "verdict") {
			m = split(cell[at["z"]], z, " ")
			for (i = 1; i <= m; i++) {
				norm[u] += z[i] * z[i]
				for (k = 1; k < n_user; k++)
					dot[user[k], u] += z[i] * attended[user[k], i]
				attended[u, i] = z[i]
			}
		}
	}
}
END {
	if (show == "learnt") show_learnt()
	else if (show == "blocks") show_blocks()
	else if (show == "texts") show_texts()
	else if (show == "table") show_table()
	else if (show == "differ") show_differ()
	else if (show == "verdict") show_verdict()
	else if (show == "stories") show_stories()
}

function show_learnt(    k, u) {
	for (k = 1; k <= n_user; k++) {
		u = user[k]
		printf "   %s %s of %s liked%s\n", tinted(padded(u, 6), k + 1), right(n_liked[u] + 0, 2), n_event[u], \
		    main_kind[u] == "" ? "" : ", most of them " main_kind[u]
		print dim("          " liked[u] "...")
	}
}

# only: one user, or none for all but the first
function show_blocks(    k, u, i, m, item, weight) {
	for (k = 1; k <= n_user; k++) {
		u = user[k]
		if (only != "" ? u != only : k == 1)
			continue
		if (n_block++)
			print ""
		printf "%s attends to about %.1f items (entropy %.2f), uncertainty %.3f\n", \
		    bold(tinted(u, k)), exp(entropy[u]), entropy[u], uncertainty[u]
		m = split(items[u], item, " ")
		split(weights[u], weight, " ")
		for (i = 1; i <= m && i <= 4 && (i == 1 || weight[i] >= 0.005); i++)
			printf "   %3.0f %% %s %s\n", 100 * weight[i], bars(weight[i], k), \
			    shortened(title_of(item[i]), width - 30)
		print ""
		wrapped(output[u], "   ")
	}
}

function show_texts(    k) {
	for (k = 1; k <= n_user; k++) {
		print (k > 1 ? "\n" : "") bold(tinted(user[k], k))
		wrapped(output[user[k]], "   ")
	}
}

function show_table(    k, u, item, weight) {
	printf "   %-9s  %7s  %9s  %11s  %s\n", "", "entropy", "items (*)", "uncertainty", "heaviest item"
	for (k = 1; k <= n_user; k++) {
		u = user[k]
		split(items[u], item, " ")
		split(weights[u], weight, " ")
		printf "   %s  %7.2f  %9.1f  %11.3f  %s\n", tinted(padded(u, 9), k), entropy[u], exp(entropy[u]), \
		    uncertainty[u], shortened(title_of(item[1]), width - 48)
	}
	print dim("   (*) the number of items that equal attention would have to be spread over")
}

function n_shared(u, v,    a, b, n, m, i, top, n_both) {
	n = split(items[u], a, " ")
	m = split(items[v], b, " ")
	for (i = 1; i <= n && i <= 5; i++)
		top[a[i]] = 1
	for (i = 1; i <= m && i <= 5; i++)
		n_both += b[i] in top
	return n_both + 0
}
function divergence(k, l,    d) {
	if (k > l)
		return divergence(l, k)
	d = sqrt(norm[user[k]] * norm[user[l]])
	return d > 0 ? 1 - dot[user[k], user[l]] / d : 0
}
function show_differ(    k, l) {
	printf "   %9s", ""
	for (l = 1; l <= n_user; l++)
		printf "  %s", right(user[l], 8)
	print ""
	for (k = 1; k <= n_user; k++) {
		printf "   %s", tinted(padded(user[k], 9), k)
		for (l = 1; l <= n_user; l++)
			printf "  %8s", k == l ? "-" : k < l ? n_shared(user[k], user[l]) " of 5" : \
			    sprintf("%.2f", divergence(k, l))
		print ""
	}
	print dim("   right of the diagonal: how many of their five heaviest items two people share")
	print dim("   left of it: 1 - cosine of what was attended to; 0 same, 1 nothing in common")
}
function show_verdict(    k, l, n_narrow, n_pair, sum, least, n_answer, seen_answer) {
	least = 2
	for (k = 2; k <= n_user; k++) {
		n_narrow += entropy[user[k]] < entropy[user[1]]
		if (!seen_answer[output[user[k]]]++)
			n_answer++
		for (l = 2; l < k; l++) {
			sum += divergence(l, k)
			n_pair++
			if (divergence(l, k) < least)
				least = divergence(l, k)
		}
	}
	wrapped(sprintf("%d of %d known people are narrower in their attention than the %s. They got %d " \
	    "different answers; two of them diverge by %.2f on average and by %.2f at least.", \
	    n_narrow, n_user - 1, user[1], n_answer, n_pair ? sum / n_pair : 0, n_pair ? least : 0), "   ")
}

# The neighbourhoods that share least with each other become the tastes of three readers.
function show_stories(    i, j, k, n, m, a, b, near, pick, best, cost, least, name, liker) {
	split("ada ben cleo", name, " ")
	n_pick = 0
	for (k = 1; k <= 3 && k <= n_seed; k++) {
		least = -1
		for (i = 1; i <= n_seed; i++) {
			if (i in pick)
				continue
			cost = 0
			n = split(neighbours[i], a, " ")
			for (j = 1; j <= n; j++)
				cost += near[a[j]]
			if (least < 0 || cost < least) {
				least = cost
				best = i
			}
		}
		pick[best] = 1
		chosen[++n_pick] = best
		n = split(neighbours[best], a, " ")
		for (j = 1; j <= n; j++)
			near[a[j]]++
	}
	print "user,item,reward"
	for (k = 1; k <= n_pick; k++) {
		n = split(neighbours[chosen[k]], a, " ")
		for (liker in b)
			delete b[liker]
		for (j = 1; j <= n && j <= 8; j++) {
			print name[k] "," a[j] ",1"
			b[a[j]] = 1
		}
		for (i = 1; i <= n_pick; i++) {
			if (i == k)
				continue
			n = split(neighbours[chosen[i]], a, " ")
			m = 0
			for (j = 1; j <= n && m < 4; j++)
				if (!(a[j] in b)) {
					print name[k] "," a[j] ",0"
					b[a[j]] = 1
					m++
				}
		}
	}
}
