/*
 * prefilter.c
 *	  May a text hold something of ours?
 *
 * The words are "model", "predict" and "sqlml". Four letters find the first two,
 * "odel" and "edic", and three the last, "qlm": nearly nothing else has them, so
 * that looking closer costs nothing.
 */
#include "prefilter.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static inline uint8_t
to_lower(uint8_t byte)
{
	return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

static inline bool
continues_identifier(uint8_t byte)
{
	uint8_t		lower = to_lower(byte);

	return (lower >= 'a' && lower <= 'z') || (byte >= '0' && byte <= '9') ||
		byte == '_' || byte == '$' || byte >= 0x80;
}

/* Step over a word in lower case; false if it is not here */
static inline bool
take_word(const uint8_t *text, size_t size, size_t *position, const char *word)
{
	size_t		at = *position;

	for (; *word != '\0'; word++, at++)
		if (at >= size || to_lower(text[at]) != (uint8_t) *word)
			return false;
	*position = at;
	return true;
}

static inline void
take_blanks(const uint8_t *text, size_t size, size_t *position)
{
	while (*position < size &&
		   (text[*position] == ' ' || (text[*position] >= '\t' && text[*position] <= '\r')))
		++*position;
}

static bool
is_model(const uint8_t *text, size_t size, size_t at)
{
	if (!take_word(text, size, &at, "model"))
		return false;
	take_word(text, size, &at, "s");
	return at == size || !continues_identifier(text[at]);
}

/* A literal, a number or a parameter is no model's name */
static bool
is_prediction(const uint8_t *text, size_t size, size_t at)
{
	if (!take_word(text, size, &at, "predict"))
		return false;
	take_word(text, size, &at, "_proba");
	take_blanks(text, size, &at);
	if (!take_word(text, size, &at, "("))
		return false;
	take_blanks(text, size, &at);
	return at < size && (text[at] == '"' ||
						 (continues_identifier(text[at]) && text[at] != '$' &&
						  !(text[at] >= '0' && text[at] <= '9')));
}

static bool
is_proxy_setting(const uint8_t *text, size_t size, size_t at)
{
	if (!take_word(text, size, &at, "sqlml"))
		return false;
	take_blanks(text, size, &at);
	if (!take_word(text, size, &at, "."))
		return false;
	take_blanks(text, size, &at);
	return take_word(text, size, &at, "proxy");
}

static bool
is_word_at(const uint8_t *text, size_t size, size_t at,
		   bool (*is_ours) (const uint8_t *, size_t, size_t))
{
	return (at == 0 || !continues_identifier(text[at - 1])) && is_ours(text, size, at);
}

/* Look closer at a "d" or a "q"; there is a byte on either side of it */
static bool
look_at(const uint8_t *text, size_t size, size_t at)
{
	if (to_lower(text[at]) == 'q')
		return is_word_at(text, size, at - 1, is_proxy_setting);
	if (at >= 2 && to_lower(text[at - 1]) == 'o')
		return is_word_at(text, size, at - 2, is_model);
	return at >= 3 && is_word_at(text, size, at - 3, is_prediction);
}

static bool
scan_bytes(const uint8_t *text, size_t size, size_t at)
{
	for (; at + 1 < size; at++)
	{
		uint8_t		lower = text[at] | 0x20;

		if ((lower == 'd' || lower == 'q') && look_at(text, size, at))
			return true;
	}
	return false;
}

#if defined(__x86_64__)

#define BLOCK 32

/* ASCII letters in lower case; other bytes may become letters, so look closer */
__attribute__((target("avx2")))
static inline __m256i
load_lower(const uint8_t *block)
{
	return _mm256_or_si256(_mm256_loadu_si256((const __m256i *) block), _mm256_set1_epi8(0x20));
}

__attribute__((target("avx2,bmi")))
static bool
scan_blocks(const uint8_t *text, size_t size)
{
	const __m256i d = _mm256_set1_epi8('d');
	const __m256i c = _mm256_set1_epi8('c');
	const __m256i e = _mm256_set1_epi8('e');
	const __m256i i = _mm256_set1_epi8('i');
	const __m256i l = _mm256_set1_epi8('l');
	const __m256i m = _mm256_set1_epi8('m');
	const __m256i o = _mm256_set1_epi8('o');
	const __m256i q = _mm256_set1_epi8('q');
	size_t		last = size - BLOCK - 2;

	/* The last block overlaps the one before it */
	for (size_t at = 1;; at = at + BLOCK < last ? at + BLOCK : last)
	{
		const uint8_t *block = text + at;
		__m256i		before = load_lower(block - 1);
		__m256i		here = load_lower(block);
		__m256i		next = load_lower(block + 1);
		__m256i		after = load_lower(block + 2);
		__m256i		model = _mm256_and_si256(
			_mm256_and_si256(_mm256_cmpeq_epi8(before, o), _mm256_cmpeq_epi8(here, d)),
			_mm256_and_si256(_mm256_cmpeq_epi8(next, e), _mm256_cmpeq_epi8(after, l)));
		__m256i		predict = _mm256_and_si256(
			_mm256_and_si256(_mm256_cmpeq_epi8(before, e), _mm256_cmpeq_epi8(here, d)),
			_mm256_and_si256(_mm256_cmpeq_epi8(next, i), _mm256_cmpeq_epi8(after, c)));
		__m256i		sqlml = _mm256_and_si256(
			_mm256_cmpeq_epi8(here, q),
			_mm256_and_si256(_mm256_cmpeq_epi8(next, l), _mm256_cmpeq_epi8(after, m)));
		__m256i		found = _mm256_or_si256(_mm256_or_si256(model, predict), sqlml);
		uint32_t	bits;

		for (bits = (uint32_t) _mm256_movemask_epi8(found); bits != 0; bits &= bits - 1)
			if (look_at(text, size, at + (size_t) __builtin_ctz(bits)))
				return true;
		if (at == last)
			return false;
	}
}

#endif

bool
may_concern_us(const uint8_t *text, size_t size)
{
	if (size > LOOK_BYTES)
		size = LOOK_BYTES;
#if defined(__x86_64__)
	if (size >= BLOCK + 3 && __builtin_cpu_supports("avx2"))
		return scan_blocks(text, size);
#endif
	return scan_bytes(text, size, 1);
}
