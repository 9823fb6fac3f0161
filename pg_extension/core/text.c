/*
 * text.c
 *	  Cut a text into tokens: words with their case folded, and each character
 *	  by itself where a script puts no blanks between words.
 *
 * Character classes are ranges written down in docs/artifact.md, and no tables
 * of Unicode, so that they are the same in every build for ever.
 */
#include "text.h"

#define FNV_BASIS UINT64_C(0xCBF29CE484222325)
#define FNV_PRIME UINT64_C(0x100000001B3)

/* What a byte that is no part of a character counts as */
#define REPLACEMENT 0xFFFD

typedef struct Character
{
	uint32_t	code;
	uint32_t	size;			/* bytes */
} Character;

/* The word characters of ASCII with their case folded; 0 for all others */
static const uint8_t ASCII_FOLDED[256] = {
	['0'] = '0', '1', '2', '3', '4', '5', '6', '7', '8', '9',
	['A'] = 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm',
	'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
	['_'] = '_',
	['a'] = 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm',
	'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z'
};

/* What was read of a token */
typedef struct Token
{
	uint64_t	hash;
	bool		has_begun;
} Token;

static bool
is_between(uint32_t code, uint32_t first, uint32_t last)
{
	return code - first <= last - first;
}

/* splitmix64's last step */
static uint64_t
mix(uint64_t hash)
{
	hash = (hash ^ (hash >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	hash = (hash ^ (hash >> 27)) * UINT64_C(0x94D049BB133111EB);
	return hash ^ (hash >> 31);
}

uint64_t
hash_bigram(uint64_t first, uint64_t second)
{
	return mix(first * UINT64_C(0x9E3779B97F4A7C15) + second);
}

/*
 * Decode a character that begins at a byte above ASCII. Texts are UTF-8, but a
 * server without an encoding vouches for nothing: never a step beyond the end.
 */
static Character
decode(const uint8_t *at, const uint8_t *end)
{
	uint32_t	size = *at >= 0xF0 ? 4 : *at >= 0xE0 ? 3 : 2;
	Character	character = {*at & (0xFFu >> (size + 1)), size};

	if (*at < 0xC0 || *at >= 0xF8 || (size_t) (end - at) < size)
		return (Character) {REPLACEMENT, 1};
	for (uint32_t i = 1; i < size; i++)
	{
		if ((at[i] & 0xC0) != 0x80)
			return (Character) {REPLACEMENT, 1};
		character.code = character.code << 6 | (at[i] & 0x3F);
	}
	return character;
}

/* Whether a code point above ASCII belongs to words */
static bool
is_word(uint32_t code)
{
	if (code < 0x2000)
		return code >= 0xC0 ? code != 0xD7 && code != 0xF7
			: code == 0xAA || code == 0xB5 || code == 0xBA;
	return !is_between(code, 0x2000, 0x206F) && !is_between(code, 0x2E00, 0x2E7F) &&
		!is_between(code, 0x3000, 0x303F) && !is_between(code, 0xFF00, 0xFF0F) &&
		!is_between(code, 0xFF1A, 0xFF20);
}

/* Kana and Han: a token each */
static bool
is_token(uint32_t code)
{
	return is_between(code, 0x3040, 0x30FF) || is_between(code, 0x3400, 0x4DBF) ||
		is_between(code, 0x4E00, 0x9FFF);
}

/* Latin, Greek and Cyrillic capitals above ASCII */
static uint32_t
fold(uint32_t code)
{
	bool		is_odd = code % 2 == 1;

	if ((is_between(code, 0xC0, 0xDE) && code != 0xD7) ||
		(is_between(code, 0x391, 0x3A9) && code != 0x3A2) || is_between(code, 0x410, 0x42F))
		return code + 32;
	if (is_between(code, 0x400, 0x40F))
		return code + 80;
	if (is_odd ? is_between(code, 0x139, 0x148) || is_between(code, 0x179, 0x17E)
		: (is_between(code, 0x100, 0x137) && code != 0x130) || is_between(code, 0x14A, 0x177))
		return code + 1;
	return code;
}

static uint64_t
hash_byte(uint64_t hash, uint32_t byte)
{
	return (hash ^ (uint8_t) byte) * FNV_PRIME;
}

/* FNV-1a of the UTF-8 of a character above ASCII */
static uint64_t
hash_character(uint64_t hash, uint32_t code)
{
	if (code < 0x800)
		hash = hash_byte(hash, 0xC0 | code >> 6);
	else
	{
		if (code < 0x10000)
			hash = hash_byte(hash, 0xE0 | code >> 12);
		else
		{
			hash = hash_byte(hash, 0xF0 | code >> 18);
			hash = hash_byte(hash, 0x80 | (code >> 12 & 0x3F));
		}
		hash = hash_byte(hash, 0x80 | (code >> 6 & 0x3F));
	}
	return hash_byte(hash, 0x80 | (code & 0x3F));
}

double
get_text_count(const TextCounts *counts, SqlmlOp op)
{
	switch (op)
	{
		case OP_CHARACTERS:
			return counts->characters;
		case OP_WORDS:
			return counts->words;
		case OP_DIGITS:
			return counts->digits;
		default:
			return counts->capitals;
	}
}

TextReader
start_text(SqlmlText text)
{
	const uint8_t *bytes = (const uint8_t *) text.data;

	return (TextReader) {bytes, bytes + text.size, {0, 0, 0, 0}};
}

/*
 * Read a character above ASCII, which may begin, go on with or end a token.
 * False before one that is a token by itself while another goes on.
 */
static bool
read_wide(TextReader *reader, Token *token)
{
	Character	character = decode(reader->at, reader->end);
	uint32_t	folded = fold(character.code);
	bool		is_whole = is_token(character.code);

	if (is_whole && token->has_begun)
		return false;
	reader->at += character.size;
	reader->counts.characters++;
	reader->counts.capitals += folded != character.code;
	if (!is_word(character.code))
		return !token->has_begun;
	token->hash = hash_character(token->hash, folded);
	token->has_begun = true;
	return !is_whole;
}

/*
 * Read ASCII up to the end of a token, or to a character above. False at the
 * end of a token.
 */
static bool
read_ascii(TextReader *reader, Token *token)
{
	const uint8_t *start = reader->at;
	const uint8_t *at = start;
	const uint8_t *end = reader->end;
	uint64_t	hash = token->hash;
	uint32_t	digits = 0;
	uint32_t	capitals = 0;

	if (!token->has_begun)
		while (at < end && ASCII_FOLDED[*at] == 0 && *at < 0x80)
			at++;
	for (; at < end && ASCII_FOLDED[*at] != 0; at++)
	{
		uint8_t		folded = ASCII_FOLDED[*at];

		hash = hash_byte(hash, folded);
		digits += folded <= '9';
		capitals += folded != *at;
		token->has_begun = true;
	}
	token->hash = hash;
	reader->at = at;
	reader->counts.characters += (uint32_t) (at - start);
	reader->counts.digits += digits;
	reader->counts.capitals += capitals;
	return at == end || *at >= 0x80;
}

/*
 * Read on to the end of the next token. False at the end of the text.
 */
bool
read_token(TextReader *reader, uint64_t *hash)
{
	Token		token = {FNV_BASIS, false};

	while (reader->at < reader->end)
		if (*reader->at < 0x80 ? !read_ascii(reader, &token) : !read_wide(reader, &token))
			break;
	reader->counts.words += token.has_begun;
	*hash = mix(token.hash);
	return token.has_begun;
}
