/*
 * trees.c
 *	  LightGBM's trees, walked as LightGBM walks them.
 */
#include <math.h>
#include <string.h>

#include "internal.h"

#define TREE_SIZE_MIN 20		/* node count, word count, one leaf and its count */
#define NODE_SIZE 24

#define TREES_AVERAGE 1u
#define TREES_ALL_OUTPUTS 2u
#define TREES_FLAGS_MAX 3u

static void
read_node(Reader *reader, TreeNode *node, uint32_t word_count)
{
	node->feature = read_u32(reader);
	node->flags = read_u32(reader);
	node->left = (int32_t) read_u32(reader);
	node->right = (int32_t) read_u32(reader);
	if (node->flags & NODE_CATEGORICAL)
	{
		uint32_t	first = read_u32(reader);
		uint32_t	count = read_u32(reader);

		node->split.words.first = first;
		node->split.words.count = count;
		if (first > word_count || count > word_count - first)
			fail(reader, SQLML_DAMAGED, "artifact has a category set beyond its end");
	}
	else
	{
		/* infinite where a split only tells missing values from others */
		node->split.threshold = read_double(reader);
		if (isnan(node->split.threshold))
			fail(reader, SQLML_DAMAGED, "artifact has a threshold that is no number");
	}
	if (node->feature >= reader->model->feature_count || node->flags > NODE_FLAGS_MAX)
		fail(reader, SQLML_DAMAGED, "artifact has a split on nothing");
}

/*
 * Note how deep a child lies. It comes after its parent and has no other one,
 * so that every walk ends and the leaves can be counted. False if it does not.
 */
static bool
place_child(const SqlmlTree *tree, uint32_t *depths, uint32_t parent, int32_t child)
{
	uint32_t	place = child >= 0 ? (uint32_t) child : tree->node_count + (uint32_t) ~child;

	if (child >= 0 ? (uint32_t) child <= parent || (uint32_t) child >= tree->node_count
		: (uint32_t) ~child > tree->node_count)
		return false;
	if (depths[place] != 0)
		return false;
	depths[place] = depths[parent] + 1;
	return true;
}

/*
 * Check that nodes and leaves are a tree, and measure it. Every child has a
 * place of its own, and there are as many children as places below the root,
 * so none is left out.
 */
static void
check_shape(Reader *reader, SqlmlTree *tree)
{
	SqlmlAllocator allocator = reader->model->allocator;
	size_t		place_count = 2 * (size_t) tree->node_count + 1;
	uint32_t   *depths = allocator.allocate(allocator.argument, place_count * sizeof(uint32_t));

	if (depths == NULL)
	{
		fail(reader, SQLML_NO_MEMORY, "out of memory");
		return;
	}
	memset(depths, 0, place_count * sizeof(uint32_t));
	for (uint32_t i = 0; i < tree->node_count && !has_failed(reader); i++)
	{
		if (!place_child(tree, depths, i, tree->nodes[i].left) ||
			!place_child(tree, depths, i, tree->nodes[i].right))
			fail(reader, SQLML_DAMAGED, "artifact has a tree that is none");
		if (depths[i] + 1 > tree->depth)
			tree->depth = depths[i] + 1;
	}
	allocator.release(allocator.argument, depths);
}

static void
read_tree(Reader *reader, SqlmlTree *tree, uint32_t leaf_size)
{
	uint32_t	word_count;
	size_t		leaf_count;

	tree->node_count = read_count(reader, NODE_SIZE);
	word_count = read_count(reader, sizeof(uint32_t));
	if (tree->node_count >= INT32_MAX)
		fail(reader, SQLML_DAMAGED, "artifact has too large a tree");
	leaf_count = (size_t) tree->node_count + 1;
	if (leaf_count > (reader->size - reader->offset) / sizeof(double) / leaf_size)
		fail(reader, SQLML_DAMAGED, "artifact has a count beyond its end");
	tree->nodes = reader_allocate(reader, tree->node_count, sizeof(TreeNode));
	tree->leaves = reader_allocate(reader, leaf_count * leaf_size, sizeof(double));
	tree->leaf_counts = reader_allocate(reader, leaf_count, sizeof(uint32_t));
	tree->words = reader_allocate(reader, word_count, sizeof(uint32_t));
	for (uint32_t i = 0; i < tree->node_count && !has_failed(reader); i++)
		read_node(reader, &tree->nodes[i], word_count);
	if (has_failed(reader))
		return;
	check_shape(reader, tree);
	read_doubles(reader, tree->leaves, leaf_count * leaf_size);
	for (size_t i = 0; i < leaf_count && !has_failed(reader); i++)
		tree->leaf_counts[i] = read_u32(reader);
	for (uint32_t i = 0; i < word_count && !has_failed(reader); i++)
		tree->words[i] = read_u32(reader);
}

void
read_trees(Reader *reader, SqlmlPart *part)
{
	uint32_t	output_count = reader->model->output_count;
	uint32_t	flags = read_u32(reader);
	uint32_t	iteration_size;

	if (flags > TREES_FLAGS_MAX)
		fail(reader, SQLML_DAMAGED, "artifact has trees with unknown flags");
	part->is_average = (flags & TREES_AVERAGE) != 0;
	part->leaf_size = (flags & TREES_ALL_OUTPUTS) != 0 ? output_count : 1;
	part->tree_count = read_count(reader, TREE_SIZE_MIN);
	iteration_size = output_count / part->leaf_size;
	if (part->tree_count == 0 || part->tree_count % iteration_size != 0)
		fail(reader, SQLML_DAMAGED, "artifact has a number of trees that suits no model");
	part->iteration_count = part->tree_count / iteration_size;
	part->trees = reader_allocate(reader, part->tree_count, sizeof(SqlmlTree));
	for (uint32_t i = 0; i < part->tree_count && !has_failed(reader); i++)
		read_tree(reader, &part->trees[i], part->leaf_size);
}

static bool
goes_left_numerical(const TreeNode *node, double value)
{
	uint32_t	missing = NODE_MISSING(node->flags);

	/* Booster.predict passes on only what is not as good as zero */
	if (fabs(value) <= ZERO_THRESHOLD || (isnan(value) && missing != MISSING_NAN))
		value = 0;
	if ((missing == MISSING_NAN && isnan(value)) ||
		(missing == MISSING_ZERO && value == 0))
		return (node->flags & NODE_DEFAULT_LEFT) != 0;
	return value <= node->split.threshold;
}

static bool
goes_left_categorical(const SqlmlTree *tree, const TreeNode *node, double value)
{
	uint32_t	category;
	uint32_t	word;

	/* the fraction is cut off, so that values above -1 are category 0 */
	if (!(value > -1 && value < 2147483648.0))
		return false;
	category = (uint32_t) (int32_t) value;
	word = category / 32;
	if (word >= node->split.words.count)
		return false;
	return (tree->words[node->split.words.first + word] >> (category % 32)) & 1;
}

/*
 * The rule that every evaluator must follow
 */
bool
goes_left(const SqlmlTree *tree, const TreeNode *node, double value)
{
	return (node->flags & NODE_CATEGORICAL)
		? goes_left_categorical(tree, node, value)
		: goes_left_numerical(node, value);
}

static uint32_t
find_leaf(const SqlmlTree *tree, const double *features)
{
	int32_t		next = tree->node_count > 0 ? 0 : ~0;

	while (next >= 0)
	{
		const TreeNode *node = &tree->nodes[next];

		next = goes_left(tree, node, features[node->feature]) ? node->left : node->right;
	}
	return (uint32_t) ~next;
}

void
walk_trees(const SqlmlModel *model, const SqlmlPart *part, const double *features,
		   double *scores)
{
	uint32_t	output = 0;

	for (uint32_t k = 0; k < model->output_count; k++)
		scores[k] = 0;
	for (uint32_t i = 0; i < part->tree_count; i++)
	{
		const SqlmlTree *tree = &part->trees[i];
		const double *leaf = tree->leaves + (size_t) find_leaf(tree, features) * part->leaf_size;

		for (uint32_t k = 0; k < part->leaf_size; k++)
			scores[output + k] += leaf[k];
		output = output + part->leaf_size == model->output_count ? 0 : output + part->leaf_size;
	}
}
