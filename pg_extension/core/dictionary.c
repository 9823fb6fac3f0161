/*
 * dictionary.c
 *	  Texts by their index: a category's levels.
 */
#include <string.h>

#include "internal.h"

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

static inline uint64_t
load_8(const char *bytes)
{
	uint64_t	word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

static inline uint64_t
load_4(const char *bytes)
{
	uint32_t	word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

static TextKey
make_long_key(SqlmlText text)
{
	uint64_t	hash = text.size;
	uint32_t	i = 0;

	for (; i + 8 <= text.size; i += 8)
	{
		hash = (hash ^ load_8(text.data + i)) * UINT64_C(0x9E3779B97F4A7C15);
		hash ^= hash >> 32;
	}
	for (; i < text.size; i++)
		hash = (hash ^ (uint8_t) text.data[i]) * UINT64_C(0x100000001B3);
	return (TextKey) {load_8(text.data), hash};
}

/*
 * Reads nothing beyond the text: two loads, which may overlap, replace a loop
 */
static inline TextKey
make_key(SqlmlText text)
{
	const char *end = text.data + text.size;
	TextKey		key = {0, 0};

	if (text.size > 16)
		return make_long_key(text);
	if (text.size > 8)
	{
		key.low = load_8(text.data);
		key.high = load_8(end - 8) >> (8 * (16 - text.size));
	}
	else if (text.size == 8)
		key.low = load_8(text.data);
	else if (text.size >= 4)
		key.low = load_4(text.data) | (load_4(end - 4) >> (8 * (8 - text.size))) << 32;
	else if (text.size > 0)
		key.low = (uint64_t) (uint8_t) text.data[0] |
			(uint64_t) (uint8_t) text.data[text.size / 2] << (8 * (text.size / 2)) |
			(uint64_t) (uint8_t) end[-1] << (8 * (text.size - 1));
	return key;
}

static inline uint32_t
hash_key(TextKey key, uint64_t seed)
{
	uint64_t	hash = (key.low ^ seed) * UINT64_C(0x9E3779B97F4A7C15);

	hash = (hash ^ (hash >> 32) ^ key.high) * UINT64_C(0xD6E8FEB86659FD93);
	return (uint32_t) (hash >> 32);
}

/* Texts whose hashes crowd are given another seed */
#define PROBES_MAX 256
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
	TextKey		key = make_key(text);
	uint32_t	slot = hash_key(key, dictionary->seed) & dictionary->mask;

	for (uint32_t probe = 0; probe < PROBES_MAX; probe++)
	{
		DictionarySlot *found = &dictionary->slots[slot];

		if (found->index == 0)
		{
			*found = (DictionarySlot) {key, index + 1, text.size > sizeof(key)};
			return FILLED;
		}
		if (is_same_text(dictionary->texts[found->index - 1], text))
			return FOUND_TWICE;
		slot = (slot + 1) & dictionary->mask;
	}
	return CROWDED;
}

static FillResult
fill(Dictionary *dictionary, uint32_t count)
{
	memset(dictionary->slots, 0, ((size_t) dictionary->mask + 1) * sizeof(DictionarySlot));
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
	uint64_t	size = 1;
	FillResult	result = CROWDED;

	while (size < 2 * (uint64_t) count)
		size *= 2;
	dictionary->texts = texts;
	dictionary->mask = (uint32_t) (size - 1);
	dictionary->slots = reader_allocate(reader, size, sizeof(DictionarySlot));
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
 * The index of a text, or -1
 */
int64_t
find_text(const Dictionary *dictionary, SqlmlText text)
{
	TextKey		key = make_key(text);
	uint32_t	slot = hash_key(key, dictionary->seed) & dictionary->mask;

	/* ends, because at least half of the slots are empty */
	while (dictionary->slots[slot].index != 0)
	{
		const DictionarySlot *found = &dictionary->slots[slot];

		if (found->key.low == key.low && found->key.high == key.high &&
			found->is_long == (text.size > sizeof(key)) &&
			(!found->is_long || is_same_text(dictionary->texts[found->index - 1], text)))
			return (int64_t) found->index - 1;
		slot = (slot + 1) & dictionary->mask;
	}
	return -1;
}
