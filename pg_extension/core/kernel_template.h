/*
 * kernel_template.h
 *	  The loops that gain by wide registers, for one instruction set.
 *
 * kernel.c includes this once for each of them, with
 *	  LABEL		the instruction set's name
 *	  NAME(x)	x, with that name added
 *	  TARGET	the attribute that lets the compiler use it
 *	  WIDTH		bytes of a register
 *	  COUNT_BELOW(boundaries, width, number)
 *				how many of width boundaries, SEARCH_WIDTH or NODE_BOUNDARIES, are below
 *				the number
 *	  COUNT_SEPARATORS(separators, number)
 *				the same for SEARCH_WIDTH floats
 */

typedef uint64_t NAME(Wide) __attribute__((vector_size(WIDTH)));

#define ROW_PARTS (ROW_SIZE / WIDTH)

TARGET
static void
NAME(find_bins) (const BinSearch *searches, uint32_t count, const double *numbers,
				 uint16_t *bins)
{
	for (uint32_t i = 0; i < count; i++)
	{
		const BinSearch *search = &searches[i];
		double		number = numbers[search->feature];
		uint32_t	bin = 0;

		if (search->has_separators)
		{
			bin = COUNT_SEPARATORS(search->separators, number) * NODE_BOUNDARIES;
			bin += COUNT_BELOW(search->levels[0] + bin, NODE_BOUNDARIES, number);
		}
		else
			for (uint32_t k = 0; k < search->depth; k++)
			{
				bin *= SEARCH_WIDTH;
				bin += COUNT_BELOW(search->levels[k] + bin, SEARCH_WIDTH, number);
			}
		bins[search->feature] = (uint16_t) (number != number ? search->boundary_count + 1 : bin);
	}
}

/*
 * AND the rows of a feature to those of a group's blocks
 */
TARGET
static inline __attribute__((always_inline)) void
NAME(and_rows) (const uint8_t *rows, const uint16_t *ids, NAME(Wide) parts[][ROW_PARTS])
{
#pragma GCC unroll 16
	for (int block = 0; block < GROUP_BLOCKS; block++)
	{
		const NAME(Wide) *row = (const NAME(Wide) *) (rows + (size_t) ids[block] * ROW_SIZE);

#pragma GCC unroll 16
		for (int part = 0; part < ROW_PARTS; part++)
			parts[block][part] &= row[part];
	}
}

/*
 * The sum of one output is a chain of additions, each of which waits for the
 * one before: two leaves of a group are added with each feature that is ANDed
 * for the next group, so that the chain does not stand alone.
 */
#define SCORE_MASKS(BITS, COUNT_ZEROS) \
TARGET \
static void \
NAME(score_masks##BITS) (const Masks *masks, const uint16_t *const *ids, \
						 uint32_t output_count, double *scores) \
{ \
	const uint32_t group_trees = GROUP_BLOCKS * ROW_SIZE * 8 / BITS; \
	const MaskUse *uses = masks->uses; \
	const double *leaves = masks->leaves; \
	uint32_t	rest = masks->tree_count; \
	uint32_t	output = 0; \
	uint32_t	pending = 0; \
	double		score = 0; \
	union \
	{ \
		NAME(Wide) wide[GROUP_BLOCKS][ROW_PARTS]; \
		uint##BITS##_t lanes[GROUP_BLOCKS * ROW_SIZE * 8 / BITS]; \
	}			reached; \
\
	for (uint32_t k = 0; k < output_count; k++) \
		scores[k] = 0; \
	for (uint32_t i = 0; i < masks->group_count; i++) \
	{ \
		const uint8_t *rows = masks->rows + masks->groups[i].first_row * ROW_SIZE; \
		const MaskUse *end = uses + masks->groups[i].use_count; \
		const uint##BITS##_t *lanes = reached.lanes; \
		NAME(Wide) parts[GROUP_BLOCKS][ROW_PARTS]; \
\
		memset(parts, 0xFF, sizeof(parts)); \
		for (; pending >= 2 && uses < end; uses++, pending -= 2) \
		{ \
			NAME(and_rows) (rows, ids[uses->mask_feature] + uses->position, parts); \
			score += leaves[COUNT_ZEROS(lanes[0])]; \
			score += leaves[BITS + COUNT_ZEROS(lanes[1])]; \
			leaves += 2 * BITS; \
			lanes += 2; \
		} \
		for (; uses < end; uses++) \
			NAME(and_rows) (rows, ids[uses->mask_feature] + uses->position, parts); \
		for (; pending > 0; pending--, leaves += BITS) \
			score += leaves[COUNT_ZEROS(*lanes++)]; \
		memcpy(reached.wide, parts, sizeof(parts)); \
		pending = rest < group_trees ? rest : group_trees; \
		rest -= pending; \
		if (output_count > 1) \
			for (uint32_t k = 0; pending > 0; k++, pending--, leaves += BITS) \
			{ \
				scores[output] += leaves[COUNT_ZEROS(reached.lanes[k])]; \
				output = output + 1 == output_count ? 0 : output + 1; \
			} \
	} \
	for (uint32_t k = 0; k < pending; k++, leaves += BITS) \
		score += leaves[COUNT_ZEROS(reached.lanes[k])]; \
	if (output_count == 1) \
		scores[0] = score; \
}

SCORE_MASKS(32, __builtin_ctz)
SCORE_MASKS(64, __builtin_ctzll)

static const Kernel NAME(kernel) = {
	LABEL, NAME(find_bins), NAME(score_masks32), NAME(score_masks64)
};

#undef SCORE_MASKS
#undef ROW_PARTS
#undef LABEL
#undef NAME
#undef TARGET
#undef WIDTH
#undef COUNT_BELOW
#undef COUNT_SEPARATORS
