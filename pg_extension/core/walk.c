/*
 * walk.c
 *	  Trees that are too large for masks: nodes on bins, eight trees at a time.
 */
#include <stdlib.h>
#include <string.h>

#include "evaluator.h"

#define CELLS_SIZE_MAX (UINT64_C(64) << 20)
#define CELLS_MAX 65536
#define TREE_NODES_MAX 65536
#define SETS_A_CELL 16

/* The highest cell: above every split */
#define ALWAYS_RIGHT UINT16_MAX

/*
 * What a split by order makes of missing values. Cells rise with the bin, but
 * for the bins that a rule sends left (0) or right (ALWAYS_RIGHT).
 */
enum
{
	RULE_NAN_IS_ZERO,
	RULE_NAN_LEFT,
	RULE_NAN_RIGHT,
	RULE_ZERO_LEFT,
	RULE_ZERO_RIGHT,
	RULE_COUNT
};

typedef struct FeatureCells
{
	uint32_t	place;			/* in features, plus one; 0: not used */
	uint32_t	first_set_cell;
	uint32_t	set_count;
	uint32_t	rule_cells[RULE_COUNT]; /* plus one; 0: not used */
} FeatureCells;

typedef struct WalkBuilder
{
	Builder    *builder;
	const SqlmlPart *part;
	Walk	   *walk;
	WalkFeature *features;
	FeatureCells *cells;		/* one a feature of the model */
	uint64_t	filled_count;	/* cells of all bins */
} WalkBuilder;

static int
get_rule(const TreeNode *node)
{
	bool		is_left = (node->flags & NODE_DEFAULT_LEFT) != 0;

	if (NODE_MISSING(node->flags) == MISSING_ZERO)
		return is_left ? RULE_ZERO_LEFT : RULE_ZERO_RIGHT;
	if (NODE_MISSING(node->flags) == MISSING_NAN)
		return is_left ? RULE_NAN_LEFT : RULE_NAN_RIGHT;
	return RULE_NAN_IS_ZERO;
}

/*
 * Whether a split is by the order of bins. Codes have no order worth keeping.
 */
static bool
is_by_order(const Evaluator *evaluator, const TreeNode *node)
{
	return (node->flags & NODE_CATEGORICAL) == 0 &&
		evaluator->feature_searches[node->feature] != NULL;
}

static void
count_cells(WalkBuilder *build)
{
	for (uint32_t i = 0; i < build->part->tree_count; i++)
		for (uint32_t k = 0; k < build->part->trees[i].node_count; k++)
		{
			const TreeNode *node = &build->part->trees[i].nodes[k];
			FeatureCells *cells = &build->cells[node->feature];

			if (cells->place == 0)
			{
				build->features[build->walk->feature_count].feature = node->feature;
				cells->place = ++build->walk->feature_count;
			}
			if (is_by_order(build->builder->evaluator, node))
				cells->rule_cells[get_rule(node)] = 1;
			else
				cells->set_count++;
		}
}

static uint16_t
get_cell(int rule, uint32_t bin, uint32_t zero_bin, uint32_t nan_bin)
{
	bool		is_zero_rule = rule == RULE_ZERO_LEFT || rule == RULE_ZERO_RIGHT;

	if (bin == nan_bin && rule == RULE_NAN_IS_ZERO)
		bin = zero_bin;
	if (bin == nan_bin || (is_zero_rule && bin == zero_bin))
		return rule == RULE_NAN_LEFT || rule == RULE_ZERO_LEFT ? 0 : ALWAYS_RIGHT;
	return (uint16_t) (bin + 1);
}

/*
 * Place a feature's cells and fill in those of its rules. False when they are
 * too many.
 */
static bool
place_cells(WalkBuilder *build, WalkFeature *feature)
{
	const Evaluator *evaluator = build->builder->evaluator;
	const BinSearch *search = evaluator->feature_searches[feature->feature];
	uint32_t	bin_count = evaluator->bin_counts[feature->feature];
	FeatureCells *cells = &build->cells[feature->feature];
	uint64_t	cell_count = 0;
	uint16_t   *filled;

	for (int rule = 0; rule < RULE_COUNT; rule++)
		if (cells->rule_cells[rule] != 0)
			cells->rule_cells[rule] = (uint32_t) ++cell_count;
	cells->first_set_cell = (uint32_t) cell_count;
	cell_count += ((uint64_t) cells->set_count + SETS_A_CELL - 1) / SETS_A_CELL;
	if (cell_count + build->walk->cell_count > CELLS_MAX ||
		build->filled_count + cell_count * bin_count > CELLS_SIZE_MAX / sizeof(uint16_t))
		return false;
	build->filled_count += cell_count * bin_count;
	feature->first_cell = build->walk->cell_count;
	feature->cell_count = (uint32_t) cell_count;
	build->walk->cell_count += feature->cell_count;
	filled = allocate_aligned(build->builder->reader, cell_count * bin_count, sizeof(uint16_t));
	feature->cells = filled;
	cells->set_count = 0;
	for (int rule = 0; filled != NULL && rule < RULE_COUNT; rule++)
		for (uint32_t bin = 0; cells->rule_cells[rule] != 0 && bin < bin_count; bin++)
			filled[bin * cell_count + cells->rule_cells[rule] - 1] =
				get_cell(rule, bin, find_bin(search, 0), bin_count - 1);
	return filled != NULL;
}

/*
 * The highest cell that a split by order sends left. Bins go left up to one of
 * them, leaving out the bin of zero where a rule of its own stands for it.
 */
static uint16_t
find_split(const Evaluator *evaluator, const SqlmlTree *tree, const TreeNode *node)
{
	const BinSearch *search = evaluator->feature_searches[node->feature];
	uint32_t	zero_bin = NODE_MISSING(node->flags) == MISSING_ZERO ? find_bin(search, 0) : BINS_MAX + 2;
	uint32_t	low = 0;
	uint32_t	high = search->boundary_count + (zero_bin > BINS_MAX + 1);
	uint32_t	last;

	while (low < high)
	{
		uint32_t	middle = (low + high) / 2;
		uint32_t	bin = middle + (middle >= zero_bin);

		if (goes_left(tree, node, get_representative(evaluator, node->feature, bin)))
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return 0;
	last = low - 1;
	return (uint16_t) (last + (last >= zero_bin) + 1);
}

/*
 * Give a set a bit in the cells of its feature: set where it sends right
 */
static void
place_set(WalkBuilder *build, const SqlmlTree *tree, const TreeNode *node, WalkNode *walk_node)
{
	const Evaluator *evaluator = build->builder->evaluator;
	FeatureCells *cells = &build->cells[node->feature];
	const WalkFeature *feature = &build->features[cells->place - 1];
	uint32_t	cell = cells->first_set_cell + cells->set_count / SETS_A_CELL;
	uint16_t	bit = (uint16_t) (1u << (cells->set_count % SETS_A_CELL));
	uint16_t   *filled = (uint16_t *) feature->cells + cell;

	cells->set_count++;
	walk_node->cell = (uint16_t) (feature->first_cell + cell);
	walk_node->mask = bit;
	walk_node->split = 0;
	build->builder->work += evaluator->bin_counts[node->feature];
	if (build->builder->work > WORK_MAX)
		return;
	for (uint32_t bin = 0; bin < evaluator->bin_counts[node->feature]; bin++)
		if (!goes_left(tree, node, get_representative(evaluator, node->feature, bin)))
			filled[(size_t) bin * feature->cell_count] |= bit;
}

static void
place_node(WalkBuilder *build, const SqlmlTree *tree, const TreeNode *node, WalkNode *walk_node)
{
	const FeatureCells *cells = &build->cells[node->feature];

	if (!is_by_order(build->builder->evaluator, node))
	{
		place_set(build, tree, node, walk_node);
		return;
	}
	walk_node->cell = (uint16_t) (build->features[cells->place - 1].first_cell +
								  cells->rule_cells[get_rule(node)] - 1);
	walk_node->mask = UINT16_MAX;
	walk_node->split = find_split(build->builder->evaluator, tree, node);
}

/*
 * Lay a tree out level by level, children side by side
 */
static bool
build_tree(WalkBuilder *build, const SqlmlTree *tree, WalkTree *walk_tree)
{
	size_t		node_count = 2 * (size_t) tree->node_count + 1;
	WalkNode   *nodes;
	int32_t    *sources;
	uint32_t	end = 1;

	if (node_count > TREE_NODES_MAX)
		return false;
	nodes = reader_allocate(build->builder->reader, node_count, sizeof(WalkNode));
	sources = reader_allocate(&build->builder->scratch, node_count, sizeof(int32_t));
	if (has_failed(build->builder->reader))
		return false;
	sources[0] = tree->node_count > 0 ? 0 : ~0;
	for (uint32_t i = 0; i < node_count; i++)
	{
		if (sources[i] < 0)
		{
			nodes[i] = (WalkNode) {.split = (uint16_t) ~sources[i], .child = (uint16_t) i};
			continue;
		}
		place_node(build, tree, &tree->nodes[sources[i]], &nodes[i]);
		nodes[i].child = (uint16_t) end;
		sources[end++] = tree->nodes[sources[i]].left;
		sources[end++] = tree->nodes[sources[i]].right;
	}
	walk_tree->nodes = nodes;
	walk_tree->leaves = tree->leaves;
	return build->builder->work <= WORK_MAX;
}

static bool
build_walk_trees(WalkBuilder *build)
{
	static const WalkNode leaf = {0, 0, 0, 0};
	static const double nothing = 0;
	uint32_t	tree_count = build->part->tree_count;
	size_t		room = ((size_t) tree_count + WALK_WIDTH - 1) / WALK_WIDTH * WALK_WIDTH;
	WalkTree   *trees = reader_allocate(build->builder->reader, room, sizeof(WalkTree));

	if (trees == NULL)
		return false;
	build->walk->trees = trees;
	build->walk->tree_count = tree_count;
	build->walk->leaf_size = build->part->leaf_size;
	for (size_t i = 0; i < room; i++)
		if (i >= tree_count)
			trees[i] = (WalkTree) {&leaf, &nothing};
		else if (!build_tree(build, &build->part->trees[i], &trees[i]))
			return false;
	return true;
}

Walk *
build_walk(Builder *builder, const SqlmlPart *part)
{
	Reader	   *reader = builder->reader;
	uint32_t	feature_count = reader->model->feature_count;
	WalkBuilder build = {.builder = builder, .part = part};

	build.walk = reader_allocate(reader, 1, sizeof(Walk));
	build.features = reader_allocate(reader, feature_count, sizeof(WalkFeature));
	build.cells = reader_allocate(&builder->scratch, feature_count, sizeof(FeatureCells));
	if (has_failed(reader))
		return NULL;
	build.walk->features = build.features;
	count_cells(&build);
	for (uint32_t i = 0; i < build.walk->feature_count; i++)
		if (!place_cells(&build, &build.features[i]))
			return NULL;
	return build_walk_trees(&build) ? build.walk : NULL;
}

/*
 * Find the leaves of WALK_WIDTH trees. Those that have arrived wait for the
 * others, which costs less than a jump that nobody can foresee.
 */
static void
find_leaves(const WalkTree *trees, const uint16_t *cells, uint32_t leaf_size,
			const double **leaves)
{
	uint32_t	at[WALK_WIDTH] = {0};
	uint32_t	moved;

	do
	{
		moved = 0;
		for (int i = 0; i < WALK_WIDTH; i++)
		{
			const WalkNode *node = &trees[i].nodes[at[i]];
			uint32_t	next = node->child + ((cells[node->cell] & node->mask) > node->split);

			moved |= next ^ at[i];
			at[i] = next;
		}
	} while (moved != 0);
	for (int i = 0; i < WALK_WIDTH; i++)
		leaves[i] = trees[i].leaves + (size_t) trees[i].nodes[at[i]].split * leaf_size;
}

static void
fill_cells(const Walk *walk, const uint16_t *bins, uint16_t *cells)
{
	for (uint32_t i = 0; i < walk->feature_count; i++)
	{
		const WalkFeature *feature = &walk->features[i];
		const uint16_t *from = feature->cells + (size_t) bins[feature->feature] * feature->cell_count;

		for (uint32_t k = 0; k < feature->cell_count; k++)
			cells[feature->first_cell + k] = from[k];
	}
}

/*
 * Score trees of which each adds to one output, in turn
 */
static void
add_in_turn(const Walk *walk, const uint16_t *cells, uint32_t output_count, double *scores)
{
	uint32_t	output = 0;

	for (uint32_t i = 0; i < walk->tree_count; i += WALK_WIDTH)
	{
		const double *leaves[WALK_WIDTH];

		find_leaves(walk->trees + i, cells, 1, leaves);
		for (uint32_t k = 0; k < WALK_WIDTH && i + k < walk->tree_count; k++)
		{
			scores[output] += *leaves[k];
			output = output + 1 == output_count ? 0 : output + 1;
		}
	}
}

/* The rows of leaves of a large forest are in no cache */
static void
fetch_rows(const double *const *leaves, uint32_t output_count)
{
	for (uint32_t i = 0; i < WALK_WIDTH; i++)
	{
		for (uint32_t k = 0; k < output_count; k += CACHE_LINE / sizeof(double))
			__builtin_prefetch(leaves[i] + k);
		__builtin_prefetch(leaves[i] + output_count - 1);
	}
}

/*
 * Output after output, so that each sum stays in a register; the trees keep
 * their order, and with it the sums their bits
 */
static void
add_rows(const double *const *leaves, uint32_t count, uint32_t output_count, double *scores)
{
	for (uint32_t k = 0; k < output_count; k++)
	{
		double		sum = scores[k];

		for (uint32_t i = 0; i < count; i++)
			sum += leaves[i][k];
		scores[k] = sum;
	}
}

/*
 * Score trees of which each adds to all outputs. The rows of leaves are
 * fetched while the next trees are walked.
 */
static void
add_to_all(const Walk *walk, const uint16_t *cells, uint32_t output_count, double *scores)
{
	const double *groups[2][WALK_WIDTH];
	uint32_t	group = 0;

	find_leaves(walk->trees, cells, output_count, groups[0]);
	for (uint32_t i = WALK_WIDTH; i < walk->tree_count; i += WALK_WIDTH)
	{
		fetch_rows(groups[group], output_count);
		find_leaves(walk->trees + i, cells, output_count, groups[!group]);
		add_rows(groups[group], WALK_WIDTH, output_count, scores);
		group = !group;
	}
	add_rows(groups[group], (walk->tree_count - 1) % WALK_WIDTH + 1, output_count, scores);
}

void
score_walk(const Walk *walk, const uint16_t *bins, uint16_t *cells, uint32_t output_count,
		   double *scores)
{
	fill_cells(walk, bins, cells);
	for (uint32_t k = 0; k < output_count; k++)
		scores[k] = 0;
	if (walk->leaf_size > 1)
		add_to_all(walk, cells, output_count, scores);
	else
		add_in_turn(walk, cells, output_count, scores);
}
