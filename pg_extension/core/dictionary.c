/*
 * dictionary.c
 *	  Texts by their index: a category's levels.
 */
#include <string.h>

#include "dictionary.h"

/* The length of a UTF-8 character by its first byte, 0 if no character starts so */
static size_t
character_size(uint8_t first)
{
	if (first < 0x80)
		return first != 0;
	if (first >= 0xC2 && first <= 0xDF)
		return 2;
	if (first >= 0xE0 && first <= 0xEF)
		return 3;
	if (first >= 0xF0 && first <= 0xF4)
		return 4;
	return 0;
}

/*
 * Whether bytes are UTF-8 without zero bytes, overlong forms or surrogates
 */
bool
is_utf8(const uint8_t *bytes, size_t size)
{
	size_t		i = 0;

	while (i < size)
	{
		size_t		length = character_size(bytes[i]);

		if (length == 0 || length > size - i)
			return false;
		for (size_t k = 1; k < length; k++)
			if ((bytes[i + k] & 0xC0) != 0x80)
				return false;
		if ((bytes[i] == 0xE0 && bytes[i + 1] < 0xA0) ||
			(bytes[i] == 0xED && bytes[i + 1] > 0x9F) ||
			(bytes[i] == 0xF0 && bytes[i + 1] < 0x90) ||
			(bytes[i] == 0xF4 && bytes[i + 1] > 0x8F))
			return false;
		i += length;
	}
	return true;
}

bool
is_same_text(SqlmlText left, SqlmlText right)
{
	return left.size == right.size &&
		(left.size == 0 || memcmp(left.data, right.data, left.size) == 0);
}

static uint64_t
hash_words(uint64_t low, uint64_t high)
{
	uint64_t	hash = low * UINT64_C(0x9E3779B97F4A7C15);

	hash = (hash ^ (hash >> 32) ^ high) * UINT64_C(0xD6E8FEB86659FD93);
	return hash ^ (hash >> 32);
}

/*
 * The key of a text longer than itself. A zero byte before others tells it from short texts.
 */
uint64_t
make_long_key(SqlmlText text)
{
	uint64_t	hash = text.size;

	for (uint32_t i = 0; i + 8 < text.size; i += 8)
		hash = hash_words(hash, load_8(text.data + i));
	hash = hash_words(hash, load_8(text.data + text.size - 8));
	return hash << 8 | UINT64_C(1) << 63;
}

/* Texts whose hashes crowd are given another seed */
#define PROBES_MAX 64
#define SEEDS_MAX 8

typedef enum FillResult
{
	FILLED,
	FOUND_TWICE,
	CROWDED
} FillResult;

static FillResult
add_text(Dictionary *dictionary, uint32_t index)
{
	SqlmlText	text = dictionary->texts[index];
	uint64_t	key = text.size > sizeof(key) ? make_long_key(text) : make_key(text);
	uint32_t	place = find_place(dictionary, key);

	for (uint32_t probe = 0; probe < PROBES_MAX; probe++)
	{
		DictionaryBucket *bucket = &dictionary->buckets[place];

		for (uint32_t i = 0; i < BUCKET_SIZE; i++)
		{
			if (bucket->numbers[i] == 0)
			{
				bucket->keys[i] = key;
				bucket->numbers[i] = index + 1;
				return FILLED;
			}
			if (is_same_text(dictionary->texts[bucket->numbers[i] - 1], text))
				return FOUND_TWICE;
		}
		place = get_next_place(dictionary, place);
	}
	return CROWDED;
}

static FillResult
fill(Dictionary *dictionary, uint32_t count)
{
	memset(dictionary->buckets, 0, (size_t) dictionary->bucket_count * sizeof(DictionaryBucket));
	for (uint32_t i = 0; i < count; i++)
	{
		FillResult	result = add_text(dictionary, i);

		if (result != FILLED)
			return result;
	}
	return FILLED;
}

/*
 * Index texts, which must differ from one another
 */
void
make_dictionary(Reader *reader, Dictionary *dictionary, const SqlmlText *texts, uint32_t count)
{
	FillResult	result = CROWDED;

	dictionary->texts = texts;
	dictionary->bucket_count = count + count / 2 + 1;
	dictionary->buckets = allocate_aligned(reader, dictionary->bucket_count,
										   sizeof(DictionaryBucket));
	for (uint32_t i = 0; i < SEEDS_MAX && result == CROWDED && !has_failed(reader); i++)
	{
		dictionary->seed = i * UINT64_C(0xA0761D6478BD642F);
		result = fill(dictionary, count);
	}
	if (result == FOUND_TWICE)
		fail(reader, SQLML_DAMAGED, "artifact has the same level twice");
	else if (result == CROWDED)
		fail(reader, SQLML_DAMAGED, "artifact has levels that are made to be slow to find");
}

/*
 * Look for a longer text, whose key others may have as well
 */
uint32_t
find_long_text(const Dictionary *dictionary, SqlmlText text)
{
	uint64_t	key = make_long_key(text);
	uint32_t	place = find_place(dictionary, key);

	for (;;)
	{
		const DictionaryBucket *bucket = &dictionary->buckets[place];

		for (uint32_t i = 0; i < BUCKET_SIZE; i++)
		{
			if (bucket->numbers[i] == 0)
				return 0;
			if (bucket->keys[i] == key &&
				is_same_text(dictionary->texts[bucket->numbers[i] - 1], text))
				return bucket->numbers[i];
		}
		place = get_next_place(dictionary, place);
	}
}
