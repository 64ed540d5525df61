/*
 * stop.h - words that say how something is asked, not what about
 *
 * In a large pool their idf tells them; in a pool of some hundred texts a word like "need" may be in two of them, and a
 * question would be answered by whoever else needs something.
 */
#ifndef HARE_TEXT_STOP_H
#define HARE_TEXT_STOP_H

#include "base/mem.h"

/* 1 for a folded English function word, or one that requests are made of ("need", "help", "please"). O(log n). */
int stop_is_word(struct span word);

#endif
