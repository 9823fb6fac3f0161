/*
 * masks.c
 *	  Make the tables that score all trees of a part by AND.
 *
 * Only the different rows of a block and feature are stored; for each bin the
 * ids tell which one. Four blocks make a group, whose ids lie side by side.
 */
#include <stdlib.h>
#include <string.h>

#include "evaluator.h"

/* Beyond, a table is so far from every cache that a walk is as good */
#define TABLE_SIZE_MAX (UINT64_C(64) << 20)
#define GROUP_ROWS_MAX 65536

typedef union Row
{
	uint8_t		bytes[ROW_SIZE];
	uint32_t	lanes32[ROW_SIZE / 4];
	uint64_t	lanes64[ROW_SIZE / 8];
} Row;

/* A split, as its group's table needs it */
typedef struct MaskNode
{
	const SqlmlTree *tree;
	const TreeNode *node;
	uint32_t	block;			/* within the group */
	uint32_t	lane;
	uint64_t	cleared;		/* the leaves on its left */
} MaskNode;

typedef struct MaskBuilder
{
	Builder    *builder;
	const SqlmlPart *part;
	Masks	   *masks;
	uint32_t	lane_count;		/* trees a block */
	MaskFeature *features;
	MaskGroup  *groups;
	MaskUse    *uses;
	uint16_t   *ids;
	double	   *leaves;

	/* scratch */
	uint32_t   *places;			/* of a feature in features, plus one */
	uint32_t   *positions;		/* the next one of each of features */
	MaskNode   *nodes;			/* of a group */
	uint8_t    *is_change;		/* whether a bin may differ from the one before */
	uint32_t   *slots;			/* rows of a block and feature by their hash, plus one */
	uint32_t	slot_mask;
	uint8_t    *rows;
	size_t		row_count;
	size_t		row_room;
} MaskBuilder;

static uint32_t
count_leaves(const SqlmlPart *part)
{
	uint32_t	most = 0;

	for (uint32_t i = 0; i < part->tree_count; i++)
		if (part->trees[i].node_count + 1 > most)
			most = part->trees[i].node_count + 1;
	return most;
}

static uint32_t
get_group_trees(const MaskBuilder *build)
{
	return GROUP_BLOCKS * build->lane_count;
}

static uint32_t
get_group_end(const MaskBuilder *build, uint32_t group)
{
	uint64_t	end = (uint64_t) (group + 1) * get_group_trees(build);

	return end < build->part->tree_count ? (uint32_t) end : build->part->tree_count;
}

/*
 * Number the features that the part uses, and count the groups that use each.
 * Gives the number of uses.
 */
static size_t
count_uses(MaskBuilder *build, uint32_t *last_groups)
{
	Masks	   *masks = build->masks;
	size_t		use_count = 0;

	for (uint32_t group = 0; group < masks->group_count; group++)
		for (uint32_t i = group * get_group_trees(build); i < get_group_end(build, group); i++)
			for (uint32_t k = 0; k < build->part->trees[i].node_count; k++)
			{
				uint32_t	feature = build->part->trees[i].nodes[k].feature;

				if (last_groups[feature] == group + 1)
					continue;
				last_groups[feature] = group + 1;
				if (build->places[feature] == 0)
				{
					build->features[masks->feature_count].feature = feature;
					build->places[feature] = ++masks->feature_count;
				}
				build->features[build->places[feature] - 1].stride += GROUP_BLOCKS;
				use_count++;
			}
	return use_count;
}

/*
 * Give each feature its place among the ids. False when they are too many.
 */
static bool
place_ids(MaskBuilder *build)
{
	const uint32_t *bin_counts = build->builder->evaluator->bin_counts;
	uint64_t	id_count = 0;

	for (uint32_t i = 0; i < build->masks->feature_count; i++)
	{
		MaskFeature *feature = &build->features[i];

		feature->first_id = (uint32_t) id_count;
		id_count += (uint64_t) bin_counts[feature->feature] * feature->stride;
		if (id_count > TABLE_SIZE_MAX / sizeof(uint16_t))
			return false;
	}
	build->ids = allocate_aligned(build->builder->reader, id_count, sizeof(uint16_t));
	return true;
}

static uint64_t
get_leaf_bits(uint32_t first, uint32_t count)
{
	return count == 64 ? ~UINT64_C(0) : ((UINT64_C(1) << count) - 1) << first;
}

/*
 * Number a tree's leaves from left to right and note for every split which
 * ones lie on its left. Gives the next free node.
 */
static MaskNode *
number_leaves(MaskBuilder *build, uint32_t tree_index, MaskNode *nodes)
{
	const SqlmlTree *tree = &build->part->trees[tree_index];
	double	   *leaves = build->leaves + (size_t) tree_index * build->masks->lane_bits;
	uint32_t	tree_in_group = tree_index % get_group_trees(build);
	uint8_t		counts[64];
	uint8_t		firsts[64] = {0};

	if (tree->node_count == 0)
		leaves[0] = tree->leaves[0];
	for (uint32_t i = tree->node_count; i-- > 0;)
	{
		int32_t		left = tree->nodes[i].left;
		int32_t		right = tree->nodes[i].right;

		counts[i] = (left < 0 ? 1 : counts[left]) + (right < 0 ? 1 : counts[right]);
	}
	for (uint32_t i = 0; i < tree->node_count; i++)
	{
		const TreeNode *node = &tree->nodes[i];
		uint8_t		left_count = node->left < 0 ? 1 : counts[node->left];
		uint8_t		right_first = firsts[i] + left_count;

		nodes[i] = (MaskNode) {tree, node, tree_in_group / build->lane_count,
			tree_in_group % build->lane_count, get_leaf_bits(firsts[i], left_count)};
		if (node->left < 0)
			leaves[firsts[i]] = tree->leaves[~node->left];
		else
			firsts[node->left] = firsts[i];
		if (node->right < 0)
			leaves[right_first] = tree->leaves[~node->right];
		else
			firsts[node->right] = right_first;
	}
	return nodes + tree->node_count;
}

static int
compare_nodes(const void *left, const void *right)
{
	const MaskNode *a = left;
	const MaskNode *b = right;

	if (a->node->feature != b->node->feature)
		return a->node->feature < b->node->feature ? -1 : 1;
	if (a->block != b->block)
		return a->block < b->block ? -1 : 1;
	return 0;
}

static bool
add_row(MaskBuilder *build, const uint8_t *row)
{
	if (build->row_count == build->row_room)
	{
		size_t		room = build->row_room == 0 ? 1024 : 2 * build->row_room;
		uint8_t    *rows = reader_allocate(&build->builder->scratch, room, ROW_SIZE);

		if (rows == NULL || room * ROW_SIZE > 2 * TABLE_SIZE_MAX)
			return false;
		if (build->row_count > 0)
			memcpy(rows, build->rows, build->row_count * ROW_SIZE);
		build->rows = rows;
		build->row_room = room;
	}
	memcpy(build->rows + build->row_count * ROW_SIZE, row, ROW_SIZE);
	build->row_count++;
	return true;
}

static uint32_t
hash_row(const uint8_t *row)
{
	uint64_t	hash = 0;

	for (uint32_t i = 0; i < ROW_SIZE; i += 8)
	{
		uint64_t	word;

		memcpy(&word, row + i, sizeof(word));
		hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
		hash ^= hash >> 29;
	}
	return (uint32_t) (hash >> 32);
}

/*
 * The id of a row within its group, or -1 when there is no room for it
 */
static int32_t
find_row(MaskBuilder *build, const MaskGroup *group, const uint8_t *row)
{
	uint32_t	slot = hash_row(row) & build->slot_mask;

	while (build->slots[slot] != 0)
	{
		size_t		place = group->first_row + build->slots[slot] - 1;

		if (memcmp(build->rows + place * ROW_SIZE, row, ROW_SIZE) == 0)
			return (int32_t) build->slots[slot] - 1;
		slot = (slot + 1) & build->slot_mask;
	}
	if (build->row_count - group->first_row >= GROUP_ROWS_MAX || !add_row(build, row))
		return -1;
	build->slots[slot] = (uint32_t) (build->row_count - group->first_row);
	return (int32_t) build->slots[slot] - 1;
}

typedef struct ChangeMarks
{
	const BinSearch *search;
	uint8_t    *is_change;
} ChangeMarks;

static void
mark_change(void *argument, double boundary)
{
	ChangeMarks *marks = argument;

	marks->is_change[find_bin(marks->search, boundary) + 1] = 1;
}

/*
 * Mark the bins at which nodes of one feature may change their minds
 */
static uint32_t
mark_changes(MaskBuilder *build, const MaskNode *nodes, uint32_t count)
{
	uint32_t	feature = nodes[0].node->feature;
	uint32_t	bin_count = build->builder->evaluator->bin_counts[feature];
	ChangeMarks marks = {build->builder->evaluator->feature_searches[feature], build->is_change};
	uint32_t	change_count = 0;

	memset(build->is_change, marks.search == NULL, bin_count);
	for (uint32_t i = 0; marks.search != NULL && i < count; i++)
		visit_boundaries(nodes[i].tree, nodes[i].node, mark_change, &marks);
	build->is_change[0] = 1;
	build->is_change[bin_count - 1] = 1;
	for (uint32_t bin = 0; bin < bin_count; bin++)
		change_count += build->is_change[bin];
	return change_count;
}

static void
make_row(MaskBuilder *build, const MaskNode *nodes, uint32_t count, double number, Row *row)
{
	memset(row, 0xFF, sizeof(*row));
	for (uint32_t i = 0; i < count; i++)
	{
		if (goes_left(nodes[i].tree, nodes[i].node, number))
			continue;
		if (build->masks->lane_bits == 32)
			row->lanes32[nodes[i].lane] &= (uint32_t) ~nodes[i].cleared;
		else
			row->lanes64[nodes[i].lane] &= ~nodes[i].cleared;
	}
}

/*
 * Make the rows for the nodes of one block and feature. False when they are
 * too many.
 */
static bool
build_rows(MaskBuilder *build, const MaskGroup *group, const MaskNode *nodes, uint32_t count,
		   uint16_t *ids, uint32_t stride)
{
	const Evaluator *evaluator = build->builder->evaluator;
	uint32_t	feature = nodes[0].node->feature;
	uint32_t	change_count = mark_changes(build, nodes, count);
	int32_t		id = 0;
	Row			row;

	build->builder->work += (uint64_t) change_count * count;
	if (build->builder->work > WORK_MAX)
		return false;
	for (build->slot_mask = 15; build->slot_mask < 2 * change_count;)
		build->slot_mask = 2 * build->slot_mask + 1;
	memset(build->slots, 0, ((size_t) build->slot_mask + 1) * sizeof(uint32_t));
	for (uint32_t bin = 0; bin < evaluator->bin_counts[feature]; bin++)
	{
		if (build->is_change[bin])
		{
			make_row(build, nodes, count, get_representative(evaluator, feature, bin), &row);
			id = find_row(build, group, row.bytes);
			if (id < 0)
				return false;
		}
		ids[(size_t) bin * stride] = (uint16_t) id;
	}
	return true;
}

static uint32_t
count_alike(const MaskNode *nodes, uint32_t count, bool is_block_alike)
{
	uint32_t	alike = 1;

	while (alike < count && nodes[alike].node->feature == nodes[0].node->feature &&
		   (!is_block_alike || nodes[alike].block == nodes[0].block))
		alike++;
	return alike;
}

static bool
build_group(MaskBuilder *build, uint32_t group_index, MaskUse *uses)
{
	MaskGroup  *group = &build->groups[group_index];
	MaskNode   *end = build->nodes;
	Row			row;

	group->first_row = build->row_count;
	make_row(build, NULL, 0, 0, &row);
	if (!add_row(build, row.bytes))
		return false;
	for (uint32_t i = group_index * get_group_trees(build); i < get_group_end(build, group_index); i++)
		end = number_leaves(build, i, end);
	if (end > build->nodes)
		qsort(build->nodes, (size_t) (end - build->nodes), sizeof(MaskNode), compare_nodes);
	for (MaskNode *first = build->nodes; first < end;)
	{
		MaskNode   *feature_end = first + count_alike(first, (uint32_t) (end - first), false);
		uint32_t	place = build->places[first->node->feature] - 1;
		const MaskFeature *feature = &build->features[place];
		uint16_t   *ids = build->ids + feature->first_id + build->positions[place];

		uses[group->use_count++] = (MaskUse) {place, build->positions[place]};
		build->positions[place] += GROUP_BLOCKS;
		while (first < feature_end)
		{
			uint32_t	count = count_alike(first, (uint32_t) (feature_end - first), true);

			if (!build_rows(build, group, first, count, ids + first->block, feature->stride))
				return false;
			first += count;
		}
	}
	return true;
}

static void
allocate_scratch(MaskBuilder *build)
{
	Reader	   *scratch = &build->builder->scratch;
	const uint32_t *bin_counts = build->builder->evaluator->bin_counts;
	uint32_t	bins_most = 2;

	for (uint32_t i = 0; i < build->masks->feature_count; i++)
		if (bin_counts[build->features[i].feature] > bins_most)
			bins_most = bin_counts[build->features[i].feature];
	build->positions = reader_allocate(scratch, build->masks->feature_count, sizeof(uint32_t));
	build->nodes = reader_allocate(scratch, (size_t) get_group_trees(build) * build->masks->lane_bits,
								   sizeof(MaskNode));
	build->is_change = reader_allocate(scratch, (size_t) bins_most + 1, 1);
	build->slots = reader_allocate(scratch, 4 * (size_t) bins_most + 16, sizeof(uint32_t));
}

/*
 * Make all groups. False when the table would be too large.
 */
static bool
build_groups(MaskBuilder *build, size_t use_count)
{
	Reader	   *reader = build->builder->reader;
	MaskUse    *uses = reader_allocate(reader, use_count, sizeof(MaskUse));
	uint8_t    *rows;

	build->uses = uses;
	if (!place_ids(build))
		return false;
	allocate_scratch(build);
	for (uint32_t i = 0; i < build->masks->group_count; i++)
	{
		if (has_failed(reader) || !build_group(build, i, uses))
			return false;
		uses += build->groups[i].use_count;
	}
	rows = allocate_aligned(reader, build->row_count, ROW_SIZE);
	if (rows == NULL)
		return false;
	memcpy(rows, build->rows, build->row_count * ROW_SIZE);
	build->masks->rows = rows;
	return true;
}

Masks *
build_masks(Builder *builder, const SqlmlPart *part)
{
	Reader	   *reader = builder->reader;
	uint32_t	feature_count = reader->model->feature_count;
	uint32_t	leaf_count = count_leaves(part);
	MaskBuilder build = {.builder = builder, .part = part};
	Masks	   *masks;
	uint32_t   *last_groups;
	size_t		use_count;

	if (part->leaf_size > 1 || leaf_count > 64 ||
		part->tree_count > TABLE_SIZE_MAX / 64 / sizeof(double))
		return NULL;
	masks = reader_allocate(reader, 1, sizeof(Masks));
	last_groups = reader_allocate(&builder->scratch, feature_count, sizeof(uint32_t));
	build.masks = masks;
	build.places = reader_allocate(&builder->scratch, feature_count, sizeof(uint32_t));
	build.features = reader_allocate(reader, feature_count, sizeof(MaskFeature));
	if (has_failed(reader))
		return NULL;
	masks->lane_bits = leaf_count <= 32 ? 32 : 64;
	masks->tree_count = part->tree_count;
	build.lane_count = ROW_SIZE * 8 / masks->lane_bits;
	masks->group_count = (part->tree_count - 1) / get_group_trees(&build) + 1;
	use_count = count_uses(&build, last_groups);
	build.groups = reader_allocate(reader, masks->group_count, sizeof(MaskGroup));
	build.leaves = allocate_aligned(reader, (size_t) part->tree_count * masks->lane_bits,
									sizeof(double));
	if (has_failed(reader) || !build_groups(&build, use_count))
		return NULL;
	masks->features = build.features;
	masks->groups = build.groups;
	masks->uses = build.uses;
	masks->ids = build.ids;
	masks->leaves = build.leaves;
	return masks;
}
