/*
 * contributions.c
 *	  What each column adds to the raw scores of a row.
 *
 * Trees: the Shapley values of the features, where a feature that is left out
 * follows both branches in the shares of the training rows (Lundberg, Erion
 * and Lee, "Consistent Individualized Feature Attribution for Tree Ensembles",
 * 2018, their second algorithm). Those of a column's features are summed.
 */
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* Bounds the stack, the memory (4 MB) and the time, which is leaves * depth^2 */
#define DEPTH_MAX 512

/*
 * A feature that the way to a node has asked for, and what share of the row
 * comes this way without the feature and with it. The weight belongs to the
 * place in the path: of all sets of features of one size, the share of those
 * that come this way.
 */
typedef struct Step
{
	uint32_t	feature;
	double		share_without;
	double		share_with;
	double		weight;
} Step;

/* The first step of a path stands for no feature */
#define NO_FEATURE UINT32_MAX

typedef struct Explained
{
	const SqlmlModel *model;
	const SqlmlTree *tree;
	const double *features;
	const double *node_counts;	/* training rows that came to each node */
	double		factor;			/* of the leaves in the raw score */
	double	   *contributions;	/* of one output */
} Explained;

static uint32_t
get_depth(const SqlmlModel *model)
{
	uint32_t	depth = 0;

	for (uint32_t i = 0; i < model->part_count; i++)
		for (uint32_t j = 0; j < model->parts[i].tree_count; j++)
			if (model->parts[i].trees[j].depth > depth)
				depth = model->parts[i].trees[j].depth;
	return depth;
}

static uint32_t
get_node_count(const SqlmlModel *model)
{
	uint32_t	count = 0;

	for (uint32_t i = 0; i < model->part_count; i++)
		for (uint32_t j = 0; j < model->parts[i].tree_count; j++)
			if (model->parts[i].trees[j].node_count > count)
				count = model->parts[i].trees[j].node_count;
	return count;
}

/*
 * Each node of a way works on a copy of its parent's path, longer by a step
 */
static size_t
get_step_count(uint32_t depth)
{
	size_t		length = (size_t) (depth < DEPTH_MAX ? depth : DEPTH_MAX) + 2;

	return length * (length + 1) / 2;
}

size_t
sqlml_contribution_size(const SqlmlModel *model)
{
	return sizeof(double) * ((size_t) model->feature_count + get_node_count(model)) +
		sizeof(Step) * get_step_count(get_depth(model));
}

static double
get_count(const SqlmlTree *tree, const double *node_counts, int32_t child)
{
	return child >= 0 ? node_counts[child] : tree->leaf_counts[~child];
}

static void
count_nodes(const SqlmlTree *tree, double *node_counts)
{
	for (uint32_t i = tree->node_count; i-- > 0;)
		node_counts[i] = get_count(tree, node_counts, tree->nodes[i].left) +
			get_count(tree, node_counts, tree->nodes[i].right);
}

/* A node that no row came to sends half of none to each side */
static double
get_share(const Explained *explained, const TreeNode *node, int32_t child)
{
	double		count = explained->node_counts[node - explained->tree->nodes];

	return count > 0 ? get_count(explained->tree, explained->node_counts, child) / count : 0.5;
}

/*
 * Add a step to a path of a length
 */
static void
extend(Step *path, uint32_t length, Step step)
{
	step.weight = length == 0;
	path[length] = step;
	for (uint32_t i = length; i-- > 0;)
	{
		path[i + 1].weight += step.share_with * path[i].weight * (i + 1) / (length + 1);
		path[i].weight *= step.share_without * (length - i) / (length + 1);
	}
}

/*
 * The weights of a path, the last step first, as if one step had not been made.
 * Gives their sum; unless weights is NULL, fills them in.
 */
static double
undo_weights(const Step *path, uint32_t length, uint32_t index, Step *weights)
{
	uint32_t	last = length - 1;
	double		with = path[index].share_with;
	double		without = path[index].share_without;
	double		next = path[last].weight;
	double		sum = 0;

	for (uint32_t i = last; i-- > 0;)
	{
		double		weight;

		if (with != 0)
		{
			weight = next * length / ((i + 1) * with);
			next = path[i].weight - weight * without * (last - i) / length;
		}
		else
			weight = path[i].weight * length / (without * (last - i));
		if (weights != NULL)
			weights[i].weight = weight;
		sum += weight;
	}
	return sum;
}

/*
 * Take a step out of a path
 */
static void
unwind(Step *path, uint32_t length, uint32_t index)
{
	undo_weights(path, length, index, path);
	for (uint32_t i = index; i + 1 < length; i++)
	{
		path[i].feature = path[i + 1].feature;
		path[i].share_without = path[i + 1].share_without;
		path[i].share_with = path[i + 1].share_with;
	}
}

static void
add_leaf(const Explained *explained, const Step *path, uint32_t length, double leaf)
{
	for (uint32_t i = 1; i < length; i++)
	{
		uint32_t	column = explained->model->features[path[i].feature].column;
		double		sum = undo_weights(path, length, i, NULL);

		explained->contributions[column] += explained->factor * leaf * sum *
			(path[i].share_with - path[i].share_without);
	}
}

/*
 * Follow all ways from a node or leaf. The path, of the given length, lies
 * behind its parent's.
 */
static void
follow(const Explained *explained, int32_t child, Step *parent_path, uint32_t length,
	   Step step)
{
	Step	   *path = parent_path + length;
	const TreeNode *node;
	bool		is_left;
	Step		next = {0, 1, 1, 0};

	/* nobody comes this way, with the feature or without it */
	if (step.share_with == 0 && step.share_without == 0)
		return;
	memcpy(path, parent_path, length * sizeof(Step));
	extend(path, length, step);
	length++;
	if (child < 0)
	{
		add_leaf(explained, path, length, explained->tree->leaves[~child]);
		return;
	}
	node = &explained->tree->nodes[child];
	next.feature = node->feature;
	for (uint32_t i = 1; i < length; i++)
		if (path[i].feature == node->feature)
		{
			next = path[i];
			unwind(path, length, i);
			length--;
			break;
		}
	is_left = goes_left(explained->tree, node, explained->features[node->feature]);
	step = next;
	step.share_without *= get_share(explained, node, node->left);
	step.share_with = is_left ? next.share_with : 0;
	follow(explained, node->left, path, length, step);
	step = next;
	step.share_without *= get_share(explained, node, node->right);
	step.share_with = is_left ? 0 : next.share_with;
	follow(explained, node->right, path, length, step);
}

/*
 * What a tree gives when every feature is left out
 */
static double
get_mean(const Explained *explained, int32_t child)
{
	const TreeNode *node;

	if (child < 0)
		return explained->tree->leaves[~child];
	node = &explained->tree->nodes[child];
	return get_share(explained, node, node->left) * get_mean(explained, node->left) +
		get_share(explained, node, node->right) * get_mean(explained, node->right);
}

static void
explain_trees(const SqlmlModel *model, const SqlmlPart *part, void *memory,
			  double *contributions)
{
	size_t		stride = (size_t) model->column_count + 1;
	double	   *features = memory;
	double	   *node_counts = features + model->feature_count;
	Step	   *path = (Step *) (node_counts + get_node_count(model));
	Explained	explained = {.model = model, .features = features, .node_counts = node_counts};

	explained.factor = part->weight * model->scale;
	if (part->is_average)
		explained.factor /= part->tree_count / model->output_count;
	for (uint32_t i = 0; i < part->tree_count; i++)
	{
		int32_t		root = part->trees[i].node_count > 0 ? 0 : ~0;
		Step		first = {NO_FEATURE, 1, 1, 0};

		explained.tree = &part->trees[i];
		explained.contributions = contributions + stride * (i % model->output_count);
		count_nodes(explained.tree, node_counts);
		follow(&explained, root, path, 0, first);
		explained.contributions[model->column_count] +=
			explained.factor * get_mean(&explained, root);
	}
}

static void
explain_linear(const SqlmlModel *model, const SqlmlPart *part, const double *features,
			   double *contributions)
{
	size_t		stride = (size_t) model->column_count + 1;
	double		factor = part->weight * model->scale;

	for (uint32_t k = 0; k < model->output_count; k++)
	{
		double	   *own = contributions + stride * k;

		own[model->column_count] += factor * part->intercepts[k];
		for (uint32_t i = 0; i < part->term_count; i++)
		{
			const SqlmlTerm *term = &part->terms[i];

			own[model->features[term->feature].column] +=
				factor * get_term(term, features[term->feature], k, model->output_count);
		}
	}
}

static SqlmlStatus
check_model(const SqlmlModel *model, SqlmlError *error)
{
	memset(error, 0, sizeof(*error));
	if (model->blends_responses)
		snprintf(error->message, sizeof(error->message),
				 "a model that blends the responses of its parts has no contributions");
	else if (get_depth(model) > DEPTH_MAX)
		snprintf(error->message, sizeof(error->message),
				 "a tree of the model is too deep for contributions");
	else
		return SQLML_OK;
	return error->status = SQLML_UNSUPPORTED;
}

SqlmlStatus
sqlml_contribute(const SqlmlModel *model, const SqlmlValue *values, void *memory,
				 double *contributions, SqlmlError *error)
{
	size_t		stride = (size_t) model->column_count + 1;
	double	   *features = memory;

	if (check_model(model, error) != SQLML_OK)
		return error->status;
	for (uint32_t i = 0; i < model->feature_count; i++)
		features[i] = encode_feature(&model->features[i], &values[model->features[i].column]);
	for (size_t i = 0; i < stride * model->output_count; i++)
		contributions[i] = 0;
	for (uint32_t i = 0; i < model->part_count; i++)
		if (model->parts[i].tree_count > 0)
			explain_trees(model, &model->parts[i], memory, contributions);
		else
			explain_linear(model, &model->parts[i], features, contributions);
	if (model->offsets != NULL)
		for (uint32_t k = 0; k < model->output_count; k++)
			contributions[stride * k + model->column_count] += model->offsets[k];
	return SQLML_OK;
}
