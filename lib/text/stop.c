#include "text/stop.h"

#include <stdlib.h>
#include <string.h>

/* As text_words() leaves them, sorted by their bytes. */
static const char *const english[] = {
	"a", "about", "above", "across", "after", "again", "against", "all", "almost", "alone", "along", "already",
	"also", "although", "always", "am", "among", "an", "and", "another", "any", "anybody", "anyone", "anything",
	"are", "arent", "around", "as", "at", "away", "be", "became", "because", "become", "been", "before", "being",
	"below", "between", "both", "but", "by", "came", "can", "cannot", "cant", "come", "could", "couldnt", "did",
	"didnt", "do", "does", "doesnt", "doing", "done", "dont", "down", "during", "each", "either", "else",
	"enough", "etc", "even", "ever", "every", "everybody", "everyone", "everything", "few", "for", "from",
	"further", "get", "gets", "getting", "give", "given", "gives", "go", "goes", "going", "got", "had", "has",
	"hasnt", "have", "havent", "having", "he", "hello", "help", "her", "here", "hers", "herself", "hi", "him",
	"himself", "his", "how", "however", "i", "id", "if", "ill", "im", "in", "instead", "into", "is", "isnt",
	"it", "itd", "its", "itself", "ive", "just", "kind", "know", "least", "less", "let", "lets", "like",
	"little", "look", "looking", "lot", "made", "make", "makes", "many", "may", "maybe", "me", "might", "mine",
	"more", "most", "much", "must", "my", "myself", "need", "needed", "needs", "neither", "never", "next", "no",
	"nobody", "none", "nor", "not", "nothing", "now", "of", "off", "often", "ok", "okay", "on", "once", "one",
	"only", "onto", "or", "other", "others", "our", "ours", "ourselves", "out", "over", "own", "per", "perhaps",
	"please", "quite", "rather", "really", "same", "seem", "seems", "several", "shall", "she", "should",
	"shouldnt", "since", "so", "some", "somebody", "someone", "something", "still", "such", "suggest", "sure",
	"take", "than", "thank", "thanks", "that", "thats", "the", "their", "theirs", "them", "themselves", "then",
	"there", "therefore", "these", "they", "theyre", "thing", "things", "this", "those", "though", "through",
	"thus", "till", "to", "together", "too", "toward", "towards", "try", "trying", "under", "until", "up",
	"upon", "us", "use", "used", "uses", "using", "very", "via", "want", "wanted", "wants", "was", "wasnt",
	"way", "we", "well", "went", "were", "werent", "what", "whatever", "when", "where", "whether", "which",
	"while", "who", "whole", "whom", "whose", "why", "will", "with", "within", "without", "wont", "would",
	"wouldnt", "yes", "yet", "you", "youd", "youll", "your", "youre", "yours", "yourself", "yourselves", "youve",
};

static int
compare_word(const void *key, const void *member)
{
	const struct span *word = key;
	const char *stop = *(const char *const *)member;
	size_t n = strlen(stop);
	int c = memcmp(word->at, stop, word->n < n ? word->n : n);

	return c ? c : (word->n > n) - (word->n < n);
}

int
stop_is_word(struct span word)
{
	return bsearch(&word, english, sizeof english / sizeof *english, sizeof *english, compare_word) != NULL;
}
