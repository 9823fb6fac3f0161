/*
 * text.h
 *	  The tokens of a text, as 64-bit hashes, and what else is counted in it.
 */
#ifndef SQLML_TEXT_H
#define SQLML_TEXT_H

#include "internal.h"

typedef struct TextCounts
{
	uint32_t	characters;		/* code points */
	uint32_t	words;			/* tokens */
	uint32_t	digits;			/* of ASCII */
	uint32_t	capitals;		/* code points that case folding changes */
} TextCounts;

typedef struct TextReader
{
	const uint8_t *at;
	const uint8_t *end;
	TextCounts	counts;			/* of what was read so far */
} TextReader;

#pragma GCC visibility push(hidden)

extern TextReader start_text(SqlmlText text);
extern bool read_token(TextReader *reader, uint64_t *hash);
extern double get_text_count(const TextCounts *counts, SqlmlOp op);
extern uint64_t hash_bigram(uint64_t first, uint64_t second);

#pragma GCC visibility pop

#endif							/* SQLML_TEXT_H */
