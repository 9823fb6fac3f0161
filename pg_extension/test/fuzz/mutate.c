/*
 * mutate.c
 *	  Tamper with artifacts so that they lie, section by section.
 *
 * A seed is taken apart into its sections, the sections are changed, and it is
 * put together again with right sizes and a right checksum, or nearly always:
 * what lies behind those checks is what the fuzzer is for.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define HEADER_SIZE 32
#define SECTION_HEADER_SIZE 16
#define SECTION_MAX 12
#define ARTIFACT_SIZE_MAX 16384
#define SECTION_TREES 4
#define TREES_FLAGS 4			/* of which one is too many */

typedef struct Section
{
	uint32_t	kind;
	size_t		size;
	uint8_t		payload[ARTIFACT_SIZE_MAX];
} Section;

typedef struct Draft
{
	size_t		count;
	Section		sections[SECTION_MAX];
} Draft;

static const uint32_t WORDS[] = {
	0, 1, 2, 3, 4, 5, 6, 7, 8, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 257, 65535, 65536,
	0x1fffffff, 0x20000000, 0x3fffffff, 0x40000000, 0x7ffffffe, 0x7fffffff,
	0x80000000, 0x80000001, 0xfffffffe, 0xffffffff
};

static const double NUMBERS[] = {
	0.0, -0.0, 1.0, -1.0, 0.5, 5e-324, 1e-35, 1.0000000180025095e-35, 2147483648.0, 4294967296.0,
	9007199254740993.0, 1e300, 1.7976931348623157e308, -1.7976931348623157e308,
	INFINITY, -INFINITY, NAN
};

static uint64_t
load(const uint8_t *bytes, size_t size)
{
	uint64_t	value = 0;

	for (size_t i = 0; i < size; i++)
		value |= (uint64_t) bytes[i] << (8 * i);
	return value;
}

static void
store(uint8_t *bytes, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t) (value >> (8 * i));
}

static void
take_apart(Bytes seed, Draft *draft)
{
	size_t		offset = HEADER_SIZE;

	draft->count = 0;
	while (offset < seed.size && draft->count < SECTION_MAX)
	{
		Section    *section = &draft->sections[draft->count++];

		section->kind = (uint32_t) load(seed.data + offset, 4);
		section->size = (size_t) load(seed.data + offset + 8, 8);
		memcpy(section->payload, seed.data + offset + SECTION_HEADER_SIZE, section->size);
		offset += SECTION_HEADER_SIZE + section->size;
	}
}

static Bytes
put_together(const Draft *draft, uint32_t version)
{
	static const uint8_t magic[8] = {'S', 'Q', 'L', 'M', 'L', 'A', 'R', 'T'};
	Bytes		artifact = {NULL, HEADER_SIZE};
	size_t		offset = HEADER_SIZE;

	for (size_t i = 0; i < draft->count; i++)
		artifact.size += SECTION_HEADER_SIZE + draft->sections[i].size;
	artifact.data = calloc(artifact.size, 1);
	if (artifact.data == NULL)
		abort();
	memcpy(artifact.data, magic, sizeof(magic));
	store(artifact.data + 8, version, 4);
	for (size_t i = 0; i < draft->count; i++)
	{
		const Section *section = &draft->sections[i];

		store(artifact.data + offset, section->kind, 4);
		store(artifact.data + offset + 8, section->size, 8);
		memcpy(artifact.data + offset + SECTION_HEADER_SIZE, section->payload, section->size);
		offset += SECTION_HEADER_SIZE + section->size;
	}
	return artifact;
}

static void
seal(Bytes artifact)
{
	if (artifact.size < HEADER_SIZE)
		return;
	store(artifact.data + 12, crc32_of(artifact.data + HEADER_SIZE, artifact.size - HEADER_SIZE), 4);
	store(artifact.data + 16, artifact.size, 8);
}

/*
 * Change bytes where they stand
 */
static void
overwrite(Random *random, uint8_t *bytes, size_t size)
{
	size_t		at = draw_below(random, size);
	size_t		room = size - at;

	if (size == 0)
		return;
	switch (draw_below(random, 7))
	{
		case 0:
			bytes[at] ^= (uint8_t) (1u << draw_below(random, 8));
			break;
		case 1:
			bytes[at] = (uint8_t) draw(random);
			break;
		case 2:
		case 3:
			if (room >= 4)
				store(bytes + at, WORDS[draw_below(random, sizeof(WORDS) / sizeof(WORDS[0]))], 4);
			break;
		case 4:
			/* one more or one less */
			if (room >= 4)
				store(bytes + at, load(bytes + at, 4) + (draw_one_in(random, 2) ? 1 : -1), 4);
			break;
		case 5:
			if (room >= 8)
			{
				double		number = NUMBERS[draw_below(random, sizeof(NUMBERS) / sizeof(NUMBERS[0]))];

				memcpy(bytes + at, &number, sizeof(number));
			}
			break;
		default:
			/* one number where another stood */
			if (size >= 16)
				memmove(bytes + draw_below(random, size - 7), bytes + draw_below(random, size - 7), 8);
	}
}

/*
 * Make a section longer or shorter
 */
static void
resize(Random *random, Section *section, const Section *other)
{
	size_t		at = draw_below(random, section->size + 1);
	size_t		from = draw_below(random, other->size + 1);
	size_t		count = draw_below(random, 1 + draw_below(random, 64));

	if (draw_one_in(random, 2))
	{
		/* cut */
		if (count > section->size - at)
			count = section->size - at;
		if (draw_one_in(random, 4))
			count = section->size - at;
		memmove(section->payload + at, section->payload + at + count, section->size - at - count);
		section->size -= count;
	}
	else
	{
		/* splice */
		uint8_t		copy[64];

		if (count > other->size - from)
			count = other->size - from;
		if (section->size + count > ARTIFACT_SIZE_MAX)
			return;
		memcpy(copy, other->payload + from, count);
		memmove(section->payload + at + count, section->payload + at, section->size - at);
		memcpy(section->payload + at, copy, count);
		section->size += count;
	}
}

/*
 * Change which sections there are
 */
static void
shuffle(Random *random, Draft *draft, const Draft *other)
{
	size_t		at = draw_below(random, draft->count);

	switch (draw_below(random, 4))
	{
		case 0:
			draft->sections[at].kind = (uint32_t) draw_below(random, 10);
			break;
		case 1:
			draft->sections[at] = other->sections[draw_below(random, other->count)];
			break;
		case 2:
			if (draft->count < SECTION_MAX)
				draft->sections[draft->count++] = other->sections[draw_below(random, other->count)];
			break;
		default:
			draft->count--;
	}
}

Bytes
mutate(Random *random, const Seeds *seeds)
{
	static Draft draft;
	static Draft other;
	Bytes		seed = seeds->items[draw_below(random, seeds->count)];
	size_t		changes = 1 + draw_below(random, 1 + draw_below(random, 8));
	Bytes		artifact;

	take_apart(seed, &draft);
	take_apart(seeds->items[draw_below(random, seeds->count)], &other);
	for (size_t i = 0; i < changes && draft.count > 0; i++)
	{
		Section    *section = &draft.sections[draw_below(random, draft.count)];

		if (draw_one_in(random, 100))
			shuffle(random, &draft, &other);
		else if (section->kind == SECTION_TREES && section->size >= 4 && draw_one_in(random, 20))
			store(section->payload, draw_below(random, TREES_FLAGS + 1), 4);
		else if (draw_one_in(random, 6))
			resize(random, section, &other.sections[draw_below(random, other.count)]);
		else
			overwrite(random, section->payload, section->size);
	}
	artifact = put_together(&draft, (uint32_t) load(seed.data + 8, 4));
	if (draw_one_in(random, 20))
		overwrite(random, artifact.data + HEADER_SIZE, artifact.size - HEADER_SIZE);
	seal(artifact);
	if (draw_one_in(random, 50))
		overwrite(random, artifact.data, artifact.size);
	return artifact;
}
