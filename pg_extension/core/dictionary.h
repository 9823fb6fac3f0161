/*
 * dictionary.h
 *	  The look-up of short texts in a dictionary, for the loop that does many.
 */
#ifndef SQLML_DICTIONARY_H
#define SQLML_DICTIONARY_H

#include <string.h>

#include "internal.h"

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

/*
 * The key of a text of at most eight bytes. Reads nothing beyond it: two
 * loads, which may overlap, replace a loop.
 */
static inline uint64_t
make_key(SqlmlText text)
{
	const char *end = text.data + text.size;

	if (text.size == 8)
		return load_8(text.data);
	if (text.size >= 4)
		return load_4(text.data) | (load_4(end - 4) >> (8 * (8 - text.size))) << 32;
	if (text.size == 0)
		return 0;
	return (uint64_t) (uint8_t) text.data[0] |
		(uint64_t) (uint8_t) text.data[text.size / 2] << (8 * (text.size / 2)) |
		(uint64_t) (uint8_t) end[-1] << (8 * (text.size - 1));
}

/*
 * The bucket in which a key belongs
 */
static inline uint32_t
find_place(const Dictionary *dictionary, uint64_t key)
{
	uint64_t	hash = (key ^ dictionary->seed) * UINT64_C(0x9E3779B97F4A7C15);

	hash = (hash ^ (hash >> 32)) * UINT64_C(0xD6E8FEB86659FD93);
	return (uint32_t) ((hash >> 32) * dictionary->bucket_count >> 32);
}

static inline uint32_t
get_next_place(const Dictionary *dictionary, uint32_t place)
{
	return place + 1 == dictionary->bucket_count ? 0 : place + 1;
}

/*
 * The number of a key in a bucket, or 0. Without a branch, which texts in no
 * order would have predicted wrong.
 */
static inline uint32_t
find_key(const DictionaryBucket *bucket, uint64_t key)
{
	return (bucket->numbers[0] & -(uint32_t) (bucket->keys[0] == key)) |
		(bucket->numbers[1] & -(uint32_t) (bucket->keys[1] == key));
}

/*
 * The number of a text, counted from 1; 0 when it is not there
 */
static inline uint32_t
find_text(const Dictionary *dictionary, SqlmlText text)
{
	uint64_t	key;
	uint32_t	place;

	if (text.size > sizeof(key))
		return find_long_text(dictionary, text);
	key = make_key(text);
	place = find_place(dictionary, key);
	for (;;)
	{
		const DictionaryBucket *bucket = &dictionary->buckets[place];
		uint32_t	number = find_key(bucket, key);

		/* ends, because not all buckets are full */
		if (number != 0 || bucket->numbers[BUCKET_SIZE - 1] == 0)
			return number;
		place = get_next_place(dictionary, place);
	}
}

#endif							/* SQLML_DICTIONARY_H */
