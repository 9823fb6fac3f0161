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

static uint32_t
hash_text(SqlmlText text)
{
	uint64_t	hash = 0xCBF29CE484222325u;

	for (uint32_t i = 0; i < text.size; i++)
		hash = (hash ^ (uint8_t) text.data[i]) * 0x100000001B3u;
	return (uint32_t) (hash ^ (hash >> 32));
}

/*
 * Index texts, which must differ from one another
 */
void
make_dictionary(Reader *reader, Dictionary *dictionary, const SqlmlText *texts, uint32_t count)
{
	uint64_t	size = 1;

	while (size < 2 * (uint64_t) count)
		size *= 2;
	dictionary->texts = texts;
	dictionary->mask = (uint32_t) (size - 1);
	dictionary->slots = reader_allocate(reader, size, sizeof(uint32_t));
	for (uint32_t i = 0; i < count && !has_failed(reader); i++)
	{
		uint32_t	slot = hash_text(texts[i]) & dictionary->mask;

		if (find_text(dictionary, texts[i]) >= 0)
		{
			fail(reader, SQLML_DAMAGED, "artifact has the same level twice");
			return;
		}
		while (dictionary->slots[slot] != 0)
			slot = (slot + 1) & dictionary->mask;
		dictionary->slots[slot] = i + 1;
	}
}

/*
 * The index of a text, or -1
 */
int64_t
find_text(const Dictionary *dictionary, SqlmlText text)
{
	uint32_t	slot = hash_text(text) & dictionary->mask;

	/* ends, because at least half of the slots are empty */
	while (dictionary->slots[slot] != 0)
	{
		uint32_t	index = dictionary->slots[slot] - 1;

		if (is_same_text(dictionary->texts[index], text))
			return index;
		slot = (slot + 1) & dictionary->mask;
	}
	return -1;
}
