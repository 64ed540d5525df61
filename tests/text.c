/* Words and sentences: each claim is a text and what must come of it. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "claim.h"
#include "text/text.h"

/* "word|word": what text_words() makes of the bytes. */
static const char *
words_of(const char *text, size_t n)
{
	static struct text_words w;
	static struct buf out;

	text_words(&w, text, n);
	buf_clear(&out);
	for (size_t i = 0; i < w.n; i++) {
		if (i)
			buf_putc(&out, '|');
		buf_put(&out, w.at[i].at, w.at[i].n);
	}
	return buf_string(&out);
}

static void
words(const char *text, const char *want, const char *why)
{
	const char *got = words_of(text, strlen(text));

	if (!claim(strcmp(got, want) == 0, "words: %s", why))
		printf("# wanted \"%s\", got \"%s\"\n", want, got);
}

static void
sentences(const char *text, const char *want, const char *why)
{
	struct text_sentences s = {0};
	struct buf out = {0};

	text_sentences(&s, text, strlen(text));
	for (size_t i = 0; i < s.n; i++) {
		if (i)
			buf_putc(&out, '|');
		buf_put(&out, s.at[i].at, s.at[i].n);
	}
	if (!claim(strcmp(buf_string(&out), want) == 0, "sentences: %s", why))
		printf("# wanted \"%s\", got \"%s\"\n", want, buf_string(&out));
	buf_free(&out);
	text_sentences_free(&s);
}

int
main(void)
{
	words("Hello, World", "hello|world", "ASCII is folded and cut at punctuation");
	words("", "", "nothing has no words");
	words(" \t\n.,;-", "", "punctuation alone has no words");
	words("x86_64 libfoo2-dev", "x86|64|libfoo2|dev", "digits belong to words, low lines and hyphens do not");
	words("don't rock'n'roll", "dont|rocknroll", "an apostrophe between letters is dropped");
	words("don\xE2\x80\x99t", "dont", "so is a typographic one");
	words("'quoted' dogs' 'tis a''b 90's", "quoted|dogs|tis|a|b|90|s", "other apostrophes end a word");
	words("\xE2\x80\x98quoted\xE2\x80\x99 dogs\xE2\x80\x99 \xC3\xA9", "quoted|dogs|\xC3\xA9", "so do other typographic ones");
	words("caf\xC3\xA9", "caf\xC3\xA9", "composed letters stay");
	words("cafe\xCC\x81", "caf\xC3\xA9", "a letter and its mark are the composed letter");
	words("e\xCC\x81" "a e\xCC\x81", "\xC3\xA9" "a|\xC3\xA9", "at the start of a text and inside words too");
	words("Stra\xC3\x9F" "e STRASSE", "strasse|strasse", "sharp s is ss");
	words("\xCE\xA3\xCE\xAF\xCF\x83\xCF\x85\xCF\x86\xCE\xBF\xCF\x82", "\xCF\x83\xCE\xAF\xCF\x83\xCF\x85\xCF\x86\xCE\xBF\xCF\x83",
	    "the two small sigmas are one");
	words("\xC4\xB0stanbul \xC4\xB1l\xC4\xB1k", "istanbul|\xC4\xB1l\xC4\xB1k",
	    "the capital i with a dot is i; the dotless one is another letter");
	words("\xC4\xB0\xCC\x81 \xC3\xAD", "\xC3\xAD|\xC3\xAD", "and what is left of it takes further marks");
	words("\xEF\xAC\x81ne \xEF\xBC\xA1\xEF\xBC\xA2", "fine|ab", "ligatures and full-width letters are plain ones");
	words("\xE6\x9D\xB1\xE4\xBA\xAC" "tower\xE3\x81\xAE", "\xE6\x9D\xB1|\xE4\xBA\xAC|tower|\xE3\x81\xAE",
	    "Han and kana are a word each, Latin between them is one");
	words("\xE0\xB8\x97\xE0\xB8\xB5\xE0\xB9\x88", "\xE0\xB8\x97\xE0\xB8\xB5\xE0\xB9\x88", "a Thai letter keeps its marks");
	words("\xED\x95\x9C\xEA\xB8\x80 \xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", "\xED\x95\x9C\xEA\xB8\x80|\xED\x95\x9C",
	    "Korean is cut at blanks, jamo are composed");
	words("a \xF0\x9F\x98\x80 b\xF0\x9F\x91\x8D\xF0\x9F\x8F\xBD" "c \xE2\x9D\xA4\xEF\xB8\x8F", "a|b|c", "emoji and their modifiers are no words");
	words("1\xEF\xB8\x8F\xE2\x83\xA3", "1", "a keycap is its digit");
	words("co\xC2\xADoperate", "cooperate", "a soft hyphen is not there");
	words("\xCC\x81 x", "x", "a mark on nothing is no word");
	words("\xD9\x85\xD8\xB1\xD8\xAD\xD8\xA8\xD8\xA7, \xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82!", "\xD9\x85\xD8\xB1\xD8\xAD\xD8\xA8\xD8\xA7|\xD0\xBF\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82",
	    "Arabic and Cyrillic words are words");
	words("a\xFF" "b \xC3\xA9\xC3", "a|b|\xC3\xA9", "invalid bytes separate words");
	claim(strcmp(words_of("a\0b", 3), "a|b") == 0, "words: so does NUL");
	words("\xE2\x80\x9CQuoted\xE2\x80\x9D\xE2\x80\x94text\xC2\xA0here", "quoted|text|here", "Unicode quotes, dashes and blanks separate");

	/* A megabyte of one chunk, with marks in the order that is worst for sorting them. */
	size_t n_big = 1 << 20;
	char *big = xmalloc(n_big, 1);
	for (size_t i = 0; i + 1 < n_big; i += 2)
		memcpy(big + i, i % 4 ? "\xCC\xA3" : "\xCC\x81", 2);
	big[0] = 'a', big[1] = 'q';
	claim(strncmp(words_of(big, n_big), "aq", 2) == 0, "words: a megabyte of marks is done in linear time");
	for (size_t i = 0; i < n_big; i++)
		big[i] = i == 5 ? (char)0xC3 : i == 6 ? (char)0x89 : 'A';
	claim(strlen(words_of(big, n_big)) == n_big, "words: a megabyte without a blank is one word");
	for (size_t i = 0; i < n_big; i++)
		big[i] = "\xE6\x9D\xB1"[i % 3];
	claim(strlen(words_of(big, n_big / 3 * 3)) == n_big / 3 * 4 - 1, "words: a megabyte of Han is a word a character");
	free(big);

	struct text_words w = {0};
	text_words(&w, "One, two; d'\xC3\xA9t\xC3\xA9", 17);
	claim(w.n == 3 && w.at[1].at == w.at[0].at + w.at[0].n + 1 && w.at[2].at == w.at[1].at + w.at[1].n + 1 &&
	    w.at[0].at[w.at[0].n] == ' ', "words: two neighbours are one span with a blank between");
	text_words_free(&w);

	sentences("One. Two! Three? Four", "One.|Two!|Three?|Four", "they end at . ! ?");
	sentences("", "", "nothing has none");
	sentences("  one thing  ", "one thing", "blanks at both ends are cut");
	sentences("Use it, e.g. Debian, i.e. Linux. Ask Dr. Smith vs. Jones etc. Done.",
	    "Use it, e.g. Debian, i.e. Linux.|Ask Dr. Smith vs. Jones etc. Done.", "not after abbreviations");
	sentences("The U.S. Army by J. R. Tolkien. Next.", "The U.S. Army by J. R. Tolkien.|Next.", "nor after single letters");
	sentences("Made in 2019. It has 3. Parts", "Made in 2019.|It has 3. Parts", "nor after a short number, but after a year");
	sentences("version 1.2.3 of foo.conf is here. Bar.", "version 1.2.3 of foo.conf is here.|Bar.", "nor inside names and versions");
	sentences("It ends. but goes on.", "It ends. but goes on.", "nor before a small letter");
	sentences("He said \"Stop.\" Then left. (Really?) Yes...", "He said \"Stop.\"|Then left.|(Really?)|Yes...", "closing quotes and brackets stay");
	sentences("What?! \"No.\" Oh!", "What?!|\"No.\"|Oh!", "opening quotes begin one");
	sentences("Title line\nText that is\nwrapped here.\nNext", "Title line|Text that is\nwrapped here.|Next",
	    "a line's end ends one unless small letters follow");
	sentences("Do:\n- first thing\n* second\n1. Third one. Fourth\n2) fifth\n  a) sixth",
	    "Do:|first thing|second|Third one.|Fourth|fifth|sixth", "list marks begin one and are cut");
	sentences("A\n\nb", "A|b", "an empty line ends one");
	sentences("\xE4\xBB\x8A\xE5\xA4\xA9\xE3\x80\x82\xE5\xA5\xBD\xEF\xBC\x9F\xE6\x98\xAF", "\xE4\xBB\x8A\xE5\xA4\xA9\xE3\x80\x82|\xE5\xA5\xBD\xEF\xBC\x9F|\xE6\x98\xAF",
	    "full-width marks need no blank behind them");
	sentences("a\xFF. B\xFF", "a\xFF.|B\xFF", "invalid bytes do no harm");
	sentences("- ", "", "a list mark alone is none");

	claim(text_is_valid("plain ascii, longer than eight", 30) && text_is_valid("\xC3\xA9", 2) && text_is_valid("", 0), "valid UTF-8 is valid");
	claim(!text_is_valid("abcdefgh\xC3", 9) && !text_is_valid("\xC0\x80", 2) && !text_is_valid("\xED\xA0\x80", 3),
	    "cut, overlong and surrogate bytes are not");
	claim(text_width("ab\xC3\xA9", 4) == 3 && text_width("\xE6\x9D\xB1", 3) == 2 && text_width("e\xCC\x81", 3) == 1, "width counts columns");
	claim(text_fit("ab\xE6\x9D\xB1" "c", 6, 3) == 2 && text_fit("ab\xE6\x9D\xB1" "c", 6, 4) == 5 && text_fit("e\xCC\x81x", 4, 1) == 3,
	    "text_fit() cuts between characters and keeps marks");
	return claim_n_failed != 0;
}
