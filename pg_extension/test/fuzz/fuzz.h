/*
 * fuzz.h
 *	  What the files of the fuzzer share.
 */
#ifndef SQLML_FUZZ_H
#define SQLML_FUZZ_H

#include "internal.h"

typedef struct Bytes
{
	uint8_t    *data;
	size_t		size;
} Bytes;

typedef struct Seeds
{
	size_t		count;
	Bytes	   *items;
} Seeds;

/* splitmix64: a case is known by its number alone */
typedef struct Random
{
	uint64_t	state;
} Random;

static inline uint64_t
draw(Random *random)
{
	uint64_t	word = random->state += UINT64_C(0x9E3779B97F4A7C15);

	word = (word ^ (word >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	word = (word ^ (word >> 27)) * UINT64_C(0x94D049BB133111EB);
	return word ^ (word >> 31);
}

static inline size_t
draw_below(Random *random, size_t limit)
{
	return limit == 0 ? 0 : (size_t) (draw(random) % limit);
}

static inline bool
draw_one_in(Random *random, size_t count)
{
	return draw_below(random, count) == 0;
}

/* Stop as a sanitizer would, naming what should have held */
extern void fail_case(const char *reason);

/* mutate.c: an artifact that was tampered with, in memory of exactly its size */
extern Bytes mutate(Random *random, const Seeds *seeds);

/* use.c: open the bytes and ask everything of the model; true when they opened */
extern bool use_artifact(Random *random, Bytes artifact);

#endif							/* SQLML_FUZZ_H */
