/*
 * bins.c
 *	  The bins of a feature: ranges of values that all trees treat alike.
 *
 * A bin holds the values above one boundary and up to the next. Where a split
 * compares, its threshold is a boundary; where it asks for zero or for
 * categories, so are the ends of the ranges that it tells apart.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "evaluator.h"

#define BOUNDARIES_MAX (UINT64_C(1) << 21)

/*
 * The largest number that a comparison with the threshold takes for not above
 * it: LightGBM has all numbers near zero compare as zero does
 */
static double
move_off_zero(double threshold)
{
	if (fabs(threshold) > ZERO_THRESHOLD)
		return threshold;
	return threshold < 0 ? nextafter(-ZERO_THRESHOLD, -INFINITY) : ZERO_THRESHOLD;
}

static bool
has_category(const SqlmlTree *tree, const TreeNode *node, uint64_t category)
{
	return category < (uint64_t) node->split.words.count * 32 &&
		((tree->words[node->split.words.first + category / 32] >> (category % 32)) & 1) != 0;
}

/* Category c holds the numbers from c up to below c + 1; category 0 those from above -1 */
static void
visit_categories(const SqlmlTree *tree, const TreeNode *node,
				 void (*visit) (void *argument, double boundary), void *argument)
{
	uint64_t	end = (uint64_t) node->split.words.count * 32;
	bool		is_in = false;

	if (end > UINT64_C(1) << 31)
		end = UINT64_C(1) << 31;
	for (uint64_t category = 0; category < end; category++)
	{
		if (has_category(tree, node, category) == is_in)
			continue;
		is_in = !is_in;
		visit(argument, category == 0 ? -1 : nextafter((double) category, -INFINITY));
	}
	if (is_in)
		visit(argument, nextafter((double) end, -INFINITY));
}

/*
 * Visit the boundaries between numbers that a node may treat differently
 */
void
visit_boundaries(const SqlmlTree *tree, const TreeNode *node,
				 void (*visit) (void *argument, double boundary), void *argument)
{
	if (node->flags & NODE_CATEGORICAL)
	{
		visit_categories(tree, node, visit, argument);
		return;
	}
	visit(argument, move_off_zero(node->split.threshold));
	if (NODE_MISSING(node->flags) == MISSING_ZERO)
	{
		visit(argument, nextafter(-ZERO_THRESHOLD, -INFINITY));
		visit(argument, ZERO_THRESHOLD);
	}
}

/* Counts boundaries, and gathers them where there is memory for it */
typedef struct Gathering
{
	double	   *boundaries;
	uint64_t	count;
} Gathering;

static void
gather(void *argument, double boundary)
{
	Gathering  *gathering = argument;

	if (gathering->boundaries != NULL)
		gathering->boundaries[gathering->count] = boundary;
	gathering->count++;
}

/*
 * Visit the boundaries of all nodes. False when there are too many.
 */
static bool
gather_boundaries(Builder *builder, Gathering *gatherings)
{
	const SqlmlModel *model = builder->reader->model;
	uint64_t	word_count = 0;

	for (uint32_t i = 0; i < model->part_count; i++)
		for (uint32_t j = 0; j < model->parts[i].tree_count; j++)
		{
			const SqlmlTree *tree = &model->parts[i].trees[j];

			for (uint32_t k = 0; k < tree->node_count; k++)
			{
				const TreeNode *node = &tree->nodes[k];
				Gathering  *gathering = &gatherings[node->feature];

				builder->evaluator->bin_counts[node->feature] = 1;
				if (model->features[node->feature].op == OP_CODE)
					continue;
				if (node->flags & NODE_CATEGORICAL)
					word_count += node->split.words.count;
				if (word_count > BOUNDARIES_MAX / 32)
					return false;
				visit_boundaries(tree, node, gather, gathering);
				if (gathering->count > BOUNDARIES_MAX)
					return false;
			}
		}
	return true;
}

static int
compare_doubles(const void *left, const void *right)
{
	double		a = *(const double *) left;
	double		b = *(const double *) right;

	return (a > b) - (a < b);
}

/*
 * Sort boundaries and leave one of each. Gives how many remain.
 */
static uint32_t
sort_boundaries(Gathering *gathering)
{
	uint32_t	count = 0;

	qsort(gathering->boundaries, gathering->count, sizeof(double), compare_doubles);
	for (uint64_t i = 0; i < gathering->count; i++)
		if (i == 0 || gathering->boundaries[i] != gathering->boundaries[i - 1])
			gathering->boundaries[count++] = gathering->boundaries[i];
	return count;
}

/*
 * Find a float that separates two boundaries: not below the first, but below the second
 */
static bool
find_separator(double first, double second, float *separator)
{
	if (!(fabs(first) <= FLT_MAX))
		return false;
	*separator = (float) first;
	if (*separator < first)
		*separator = nextafterf(*separator, INFINITY);
	return *separator < second;
}

/*
 * Separate nodes of boundaries. False where that is not possible.
 */
static bool
build_separators(BinSearch *search, const double *boundaries, uint32_t count)
{
	uint32_t	needed = count > 0 ? (count - 1) / NODE_BOUNDARIES : 0;

	if (needed > SEARCH_WIDTH)
		return false;
	for (uint32_t i = 0; i < SEARCH_WIDTH; i++)
	{
		const double *next = &boundaries[(i + 1) * NODE_BOUNDARIES];

		if (i >= needed)
			search->separators[i] = INFINITY;
		else if (!find_separator(next[-1], next[0], &search->separators[i]))
			return false;
	}
	return true;
}

/*
 * Lay the boundaries out for the search, which may look one step past the last
 */
static void
build_search(Builder *builder, BinSearch *search, const double *boundaries, uint32_t count)
{
	uint32_t	stride = 1;

	search->boundary_count = count;
	search->has_separators = build_separators(search, boundaries, count);
	for (uint32_t rest = count;
		 search->depth == 0 || (rest > 0 && !search->has_separators); rest /= SEARCH_WIDTH)
	{
		size_t		size = (size_t) (rest / SEARCH_WIDTH + 1) * SEARCH_WIDTH;
		double	   *level = allocate_aligned(builder->reader, size, sizeof(double));

		if (has_failed(builder->reader))
			return;
		for (size_t i = 0; i < size; i++)
			level[i] = i < rest ? boundaries[(i + 1) * stride - 1] : INFINITY;
		for (uint32_t i = search->depth; i > 0; i--)
			search->levels[i] = search->levels[i - 1];
		search->levels[0] = level;
		search->depth++;
		stride *= SEARCH_WIDTH;
	}
}

/*
 * Make the searches of all features that trees ask for. False, with or without
 * a failure, when there are no bins.
 */
static bool
build_searches(Builder *builder, Gathering *gatherings)
{
	const SqlmlModel *model = builder->reader->model;
	Evaluator  *evaluator = builder->evaluator;

	for (uint32_t i = 0; i < model->feature_count; i++)
	{
		BinSearch  *search;
		uint32_t	count;

		if (evaluator->bin_counts[i] == 0)
			continue;
		if (model->features[i].op == OP_CODE)
		{
			evaluator->codes[evaluator->code_count++] = i;
			evaluator->bin_counts[i] = model->features[i].level_count + 2;
			if (model->features[i].level_count > BINS_MAX)
				return false;
			continue;
		}
		count = sort_boundaries(&gatherings[i]);
		if (count > BINS_MAX)
			return false;
		search = &evaluator->searches[evaluator->search_count++];
		search->feature = i;
		evaluator->feature_searches[i] = search;
		evaluator->bin_counts[i] = count + 2;
		build_search(builder, search, gatherings[i].boundaries, count);
		if (has_failed(builder->reader))
			return false;
	}
	return true;
}

/*
 * Make the bins of all features. False when it is not to be; the reader knows
 * whether that is a failure.
 */
bool
build_bins(Builder *builder)
{
	const SqlmlModel *model = builder->reader->model;
	Evaluator  *evaluator = builder->evaluator;
	Gathering  *gatherings = reader_allocate(&builder->scratch, model->feature_count,
											 sizeof(Gathering));

	evaluator->searches = allocate_aligned(builder->reader, model->feature_count, sizeof(BinSearch));
	evaluator->codes = reader_allocate(builder->reader, model->feature_count, sizeof(uint32_t));
	evaluator->bin_counts = reader_allocate(builder->reader, model->feature_count, sizeof(uint32_t));
	evaluator->feature_searches = reader_allocate(builder->reader, model->feature_count,
												  sizeof(BinSearch *));
	if (has_failed(builder->reader) || !gather_boundaries(builder, gatherings))
		return false;
	for (uint32_t i = 0; i < model->feature_count; i++)
	{
		gatherings[i].boundaries = reader_allocate(&builder->scratch, gatherings[i].count,
												   sizeof(double));
		gatherings[i].count = 0;
	}
	return !has_failed(builder->reader) && gather_boundaries(builder, gatherings) &&
		build_searches(builder, gatherings);
}

uint32_t
find_bin(const BinSearch *search, double number)
{
	const double *boundaries = search->levels[search->depth - 1];
	uint32_t	low = 0;
	uint32_t	high = search->boundary_count;

	if (isnan(number))
		return search->boundary_count + 1;
	while (low < high)
	{
		uint32_t	middle = (low + high) / 2;

		if (boundaries[middle] < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * A number of a bin
 */
double
get_representative(const Evaluator *evaluator, uint32_t feature, uint32_t bin)
{
	const BinSearch *search = evaluator->feature_searches[feature];
	const double *boundaries;

	if (search == NULL)
		return bin;
	boundaries = search->levels[search->depth - 1];
	if (bin < search->boundary_count)
		return boundaries[bin];
	if (bin > search->boundary_count)
		return NAN;
	return bin == 0 ? 0 : nextafter(boundaries[bin - 1], INFINITY);
}
