# demo-answers.awk - questions, attended items and answers for a decoder to learn from, made from a pool by rule
#
# usage: awk -v n=6000 -v seed=1 -f scripts/csv.awk -f scripts/demo-answers.awk skills.csv > answered.csv
#
# A record: up to five items drawn from the pool, half of the time from one category, weights falling at random; a question
# made from a title, from some words of the pool, or from a trigger, which asks for nothing by name; and the answer: what the
# question is about, what the heaviest items do, those at least half as heavy as the first, at most three, in the imperative;
# then how the first begins.
#   "I need help writing tests" -> "For writing tests, derive ..., and set up ... . List every role as a row ..."
# The same numbers in every awk: Park and Miller's generator.
function uniform() { state = (state * 16807) % 2147483647; return state / 2147483647 }
function below(k) { return int(uniform() * k) }
function lowered(s) { return substr(s, 2, 1) ~ /[A-Z]/ ? s : tolower(substr(s, 1, 1)) substr(s, 2) }
function raised(s) { return toupper(substr(s, 1, 1)) substr(s, 2) }
# "writes" -> "write", "empties" -> "empty", "watches" -> "watch"
function plain_verb(v) {
	if (v ~ /ies$/)
		return substr(v, 1, length(v) - 3) "y"
	if (v ~ /(sh|ch|ss|x)es$/)
		return substr(v, 1, length(v) - 2)
	return substr(v, 1, length(v) - 1)
}
function gerund(v) {
	if (v ~ /^(plan|set|run|cut|map|get|put|let|stop|split|ship|pin|swap|drop|tag|begin|sit|unpin)$/)
		return v substr(v, length(v)) "ing"
	if (v ~ /[^eoy]e$/)
		return substr(v, 1, length(v) - 1) "ing"
	return v "ing"
}
# The main clause of a description, said as what to do.
function told(s,    w, m, i, v, out) {
	sub(/\.$/, "", s)
	sub(/,? so that .*$/, "", s)
	m = split(s, w, " ")
	for (i = 1; i <= m; i++) {
		v = w[i]
		sub(/,$/, "", v)
		v = lowered(v)
		if (i == 1 || ((v in verb) && (w[i - 1] ~ /,$/ || w[i - 1] == "and" || w[i - 1] == "or") &&
		    (!(v in noun) || w[i + 1] ~ /^(the|them|each|what|how)$/)))
			w[i] = plain_verb(v) (w[i] ~ /,$/ ? "," : "")
		out = out (i > 1 ? " " : "") w[i]
	}
	return out
}
function note_verb(v) {
	if (v !~ /^[a-z]+$/ || (v in imperative))
		return
	imperative[v] = 1
	verbs[++n_verb] = v
}
function cell(s) { gsub(/"/, "\"\"", s); return "\"" s "\"" }
# A word that nobody knows, to be taken over as it is.
function made_up(    n, w) {
	for (n = 2 + below(3); n > 0; n--)
		w = w substr("bcdfghklmnprstvw", 1 + below(16), 1) substr("aeiou", 1 + below(5), 1)
	return w substr("lnrst", 1 + below(5), 1)
}
# One to four words that stand together somewhere in the pool; now and then one of them is made up.
function some_words(    w, m, from, n, i, out) {
	m = split(said[below(n_item) + 1], w, " ")
	n = 1 + below(4)
	from = 1 + below(m - n)
	for (i = from; i < from + n; i++) {
		if (below(5) == 0)
			w[i] = made_up()
		gsub(/[.,:;?!()]/, "", w[i])
		out = out (i > from ? " " : "") (i == from ? lowered(w[i]) : w[i])
	}
	return out
}
# A question about a title, or about some words, into question and lead.
function ask(t, is_some,    w, v, rest, k) {
	t = lowered(t)
	split(t, w, " ")
	v = w[1]
	if (is_some && below(2)) {
		v = verbs[below(n_verb) + 1]
		rest = some_words()
	} else if (is_some)
		t = (below(3) ? "" : below(2) ? "a " : "my ") some_words()
	else if (v in imperative)
		rest = substr(t, length(v) + 2)
	if (rest != "") {
		k = below(6)
		if (k < 3) {
			question = k == 0 ? "How do I " v " " rest "?" : k == 1 ? "I want to " v " " rest : raised(v) " " rest
			lead = "To " v " " rest ", "
			return
		}
		question = (k == 3 ? "I need help " : k == 4 ? "Please help me with " : "What is good for ") gerund(v) " " rest (k == 5 ? "?" : "")
		lead = "For " gerund(v) " " rest ", "
		return
	}
	k = below(5)
	question = k == 0 ? "I need help with " t : k == 1 ? raised(t) : k == 2 ? "What about " t "?" : k == 3 ? "I need " t : "Something about " t
	lead = "For " t ", "
}
# A question that names nothing to begin with.
function wonder(    k) {
	k = below(6)
	return k == 0 ? "What should I do first on " some_words() "?" : k == 1 ? "What is next?" : k == 2 ? "What would you do today?" : \
	    k == 3 ? "Why is " some_words() " so hard?" : k == 4 ? "Where do I begin?" : "What is wrong with " some_words() "?"
}
NR == 1 {
	m = split_record($0, f)
	for (i = 1; i <= m; i++)
		at[f[i]] = i
	next
}
{
	split_record($0, f)
	id[++n_item] = f[at["id"]]
	title[n_item] = f[at["title"]]
	category[n_item] = f[at["category"]]
	description[n_item] = f[at["description"]]
	trigger[n_item] = f[at["trigger"]]
	s = f[at["instructions"]]
	match(s, /[.!?]( |$)/)
	first[n_item] = substr(s, 1, RSTART)
	m = split(s, w, /[.] /)
	for (i = 1; i <= m; i++) {
		split(w[i], word, " ")
		note_verb(tolower(word[1]))
	}
	said[n_item] = description[n_item] " " s
	split(description[n_item], word, " ")
	sub(/,$/, "", word[1])
	verb[tolower(word[1])] = 1
	note_verb(plain_verb(tolower(word[1])))
}
END {
	# verbs that begin no description or instruction, but titles, or stand further on
	split("analyse anonymise clean debug deliver edit harden improve interview negotiate onboard preregister prioritise retire roll sharpen " \
	    "speed study triage", w, " ")
	for (i in w)
		imperative[w[i]] = 1
	split("revokes removes maps fixes leaves mends reports says speeds", w, " ")
	for (i in w)
		verb[w[i]] = 1
	split("plans tests models lists changes marks cuts covers moves reads adds turns surfaces sorts", w, " ")
	for (i in w)
		noun[w[i]] = 1
	if (show) {
		for (i = 1; i <= n_item; i++) {
			ask(title[i], 0)
			print question " | " lead told(description[i]) ". " first[i]
		}
		exit
	}
	state = seed + 1
	for (i = 0; i < 20; i++)
		uniform()
	print "query,items,weights,output"
	for (r = 1; r <= n; r++) {
		n_drawn = 1 + below(5)
		kin = below(2)
		first_one = below(n_item) + 1
		k = 1
		drawn[1] = first_one
		for (tries = 0; k < n_drawn && tries < 1000; tries++) {
			j = below(n_item) + 1
			if (kin && category[j] != category[first_one] && tries < 900)
				continue
			for (i = 1; i <= k && drawn[i] != j; i++)
				;
			if (i > k)
				drawn[++k] = j
		}
		weight = 1
		items = weights = ""
		n_told = 0
		for (i = 1; i <= k; i++) {
			if (i > 1)
				weight *= .25 + .75 * uniform()
			if (weight >= .5 && n_told == i - 1 && n_told < 3)
				n_told++
			items = items (i > 1 ? " " : "") id[drawn[i]]
			weights = weights (i > 1 ? " " : "") sprintf("%.4f", weight)
		}
		lead = ""
		if ((i = below(10)) == 0)
			question = trigger[drawn[1 + below(k)]]
		else if (i == 1)
			question = wonder()
		else
			ask(title[below(2) ? drawn[1] : below(n_item) + 1], i > 4)
		answer = lead told(description[drawn[1]])
		if (n_told == 2)
			answer = answer ", and " told(description[drawn[2]])
		else if (n_told == 3)
			answer = answer "; " told(description[drawn[2]]) "; and " told(description[drawn[3]])
		answer = raised(answer) ". " first[drawn[1]]
		print cell(question) "," items "," weights "," cell(answer)
	}
}
