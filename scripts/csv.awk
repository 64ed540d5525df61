# csv.awk - a CSV record in awk, for the scripts beside it
# Splits a CSV record into f[1..n] and returns n.
function split_record(s, f,    n, p, v) {
	n = 0
	while (1) {
		if (substr(s, 1, 1) == "\"") {
			s = substr(s, 2)
			v = ""
			while ((p = index(s, "\"")) > 0) {
				v = v substr(s, 1, p - 1)
				s = substr(s, p + 1)
				if (substr(s, 1, 1) != "\"")
					break
				v = v "\""
				s = substr(s, 2)
			}
		} else {
			p = index(s, ",")
			v = p ? substr(s, 1, p - 1) : s
			s = p ? substr(s, p) : ""
		}
		f[++n] = v
		if (substr(s, 1, 1) != ",")
			return n
		s = substr(s, 2)
	}
}
