/*
 * contributions.c
 *	  What each column adds to the raw scores of a row.
 *
 * Trees: the Shapley values of the features, where a feature that is left out
 * follows both branches in the shares of the training rows (Lundberg, Erion
 * and Lee, "Consistent Individualized Feature Attribution for Tree Ensembles",
 * 2018). Those of a column's features are summed; that of a score goes to the
 * columns of its linear part, in proportion to what their terms add to it
 * (the rescale rule of Shrikumar, Greenside and Kundaje, "Learning Important
 * Features Through Propagating Activation Differences", 2017).
 *
 * Of the row, a feature lets share_with come to a leaf when it is known, which
 * is 0 or 1, and share_without when it is not. As the Shapley weights of the
 * sets of s of n features are the integral of t^s (1-t)^(n-s) over t from 0 to
 * 1, feature i adds, for each leaf,
 *
 *	  leaf * (share_with_i - share_without_i) * integral of the product of
 *	  (share_with_j * t + share_without_j * (1-t)) over the other features j.
 *
 * Gauss's quadrature gives the integral of a polynomial exactly. All that is
 * summed in it is positive, so that nothing cancels out; the paper's own
 * algorithm loses every digit where a path asks for some fifty features.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* Terms that sum to less do not tell the shares of a score's columns */
#define TERM_SUM_MIN 1e-12

/* Bounds the stack, the memory (3 MB) and the time, which is leaves * depth */
#define DEPTH_MAX 512

static const double PI = 3.14159265358979323846;

/* What the splits on a feature, on the way to a node, let come there */
typedef struct Step
{
	uint32_t	feature;
	double		share_with;
	double		share_without;
} Step;

typedef struct Explained
{
	const SqlmlModel *model;
	const SqlmlTree *tree;
	SqlmlWorkspace *workspace;
	double	   *features;		/* of the workspace */
	double	   *node_counts;	/* training rows that came to each node */
	uint32_t	point_count;
	double	   *points;			/* of the quadrature from 0 to 1 */
	double	   *point_weights;
	double	   *products;		/* of the steps to a node, point_count a level */
	double	   *sums;			/* of leaf * product below it, likewise */
	Step	   *steps;			/* one a level */
	uint32_t	leaf_size;
	uint32_t	place;			/* of the output in a leaf */
	double		factor;			/* of the leaves in the raw score */
	double	   *contributions;	/* of one output */
	double	   *score_shares;	/* what scores add, by their features */
	double	   *column_terms;	/* of a score's part, one a column */
} Explained;

typedef struct Size
{
	uint32_t	depth;			/* of the deepest tree */
	uint32_t	node_count;		/* of the largest */
	uint32_t	point_count;
} Size;

/*
 * Half as many points as a path has features: the product of the others is a
 * polynomial of a degree below twice the points
 */
static Size
measure(const SqlmlModel *model)
{
	Size		size = {0, 0, 1};
	uint32_t	longest;

	for (uint32_t i = 0; i < model->part_count; i++)
		for (uint32_t j = 0; j < model->parts[i].tree_count; j++)
		{
			const SqlmlTree *tree = &model->parts[i].trees[j];

			size.depth = tree->depth > size.depth ? tree->depth : size.depth;
			size.node_count = tree->node_count > size.node_count ? tree->node_count : size.node_count;
		}
	longest = size.depth < model->feature_count ? size.depth : model->feature_count;
	longest = longest < DEPTH_MAX ? longest : DEPTH_MAX;
	if (longest > 1)
		size.point_count = (longest + 1) / 2;
	return size;
}

/* A level more than the deepest leaf's, for the root */
static size_t
get_level_count(Size size)
{
	return (size_t) (size.depth < DEPTH_MAX ? size.depth : DEPTH_MAX) + 1;
}

size_t
sqlml_contribution_size(const SqlmlModel *model)
{
	Size		size = measure(model);
	size_t		levels = get_level_count(size);

	return sizeof(Step) * levels +
		sizeof(double) * ((size_t) model->feature_count + model->column_count + size.node_count +
						  2 * size.point_count * (levels + 1)) +
		sqlml_workspace_size(model);
}

/*
 * Find the points between 0 and 1 and their weights (Gauss and Legendre):
 * the roots of the Legendre polynomial of that degree, by Newton's method
 */
static void
make_points(Explained *explained)
{
	uint32_t	count = explained->point_count;

	for (uint32_t i = 0; i < count; i++)
	{
		double		x = cos(PI * (i + 0.75) / (count + 0.5));
		double		slope = 1;

		/* the guess is so near that each round doubles the digits */
		for (int round = 0; round < 6; round++)
		{
			double		before = 1;
			double		value = x;

			for (uint32_t degree = 2; degree <= count; degree++)
			{
				double		next = ((2 * degree - 1) * x * value - (degree - 1) * before) / degree;

				before = value;
				value = next;
			}
			slope = count * (x * value - before) / (x * x - 1);
			x -= value / slope;
		}
		explained->points[i] = (1 + x) / 2;
		explained->point_weights[i] = 1 / ((1 - x * x) * slope * slope);
	}
}

static Explained
divide_memory(const SqlmlModel *model, void *memory)
{
	Size		size = measure(model);
	size_t		levels = get_level_count(size);
	Explained	explained = {.model = model, .point_count = size.point_count};

	explained.steps = memory;
	explained.score_shares = (double *) (explained.steps + levels);
	explained.column_terms = explained.score_shares + model->feature_count;
	explained.node_counts = explained.column_terms + model->column_count;
	explained.points = explained.node_counts + size.node_count;
	explained.point_weights = explained.points + size.point_count;
	explained.products = explained.point_weights + size.point_count;
	explained.sums = explained.products + size.point_count * levels;
	explained.workspace = sqlml_make_workspace(model, explained.sums + size.point_count * levels);
	explained.features = explained.workspace->features;
	return explained;
}

/* Where what a feature adds is gathered */
static double *
find_sum(const Explained *explained, uint32_t feature)
{
	uint32_t	column = explained->model->features[feature].column;

	return column == NO_COLUMN ? &explained->score_shares[feature]
		: &explained->contributions[column];
}

static double
get_leaf(const Explained *explained, int32_t child)
{
	return explained->tree->leaves[(size_t) ~child * explained->leaf_size + explained->place];
}

static double
get_count(const Explained *explained, int32_t child)
{
	return child >= 0 ? explained->node_counts[child] : explained->tree->leaf_counts[~child];
}

static void
count_nodes(const Explained *explained)
{
	const SqlmlTree *tree = explained->tree;

	for (uint32_t i = tree->node_count; i-- > 0;)
		explained->node_counts[i] = get_count(explained, tree->nodes[i].left) +
			get_count(explained, tree->nodes[i].right);
}

/* A node that no row came to sends half of none to each side */
static double
get_share(const Explained *explained, const TreeNode *node, int32_t child)
{
	double		count = explained->node_counts[node - explained->tree->nodes];

	return count > 0 ? get_count(explained, child) / count : 0.5;
}

/*
 * The last step on a feature above a level, or one that lets all come
 */
static Step
find_step(const Explained *explained, uint32_t level, uint32_t feature)
{
	Step		none = {feature, 1, 1};

	for (uint32_t i = level; i > 0; i--)
		if (explained->steps[i].feature == feature)
			return explained->steps[i];
	return none;
}

static double
get_factor(Step step, double point)
{
	return step.share_with * point + step.share_without * (1 - point);
}

static void follow(const Explained *explained, uint32_t level, int32_t child);

/*
 * Go on to a child, a level below its node, and add what its feature adds for
 * the leaves there. What an earlier step on the feature will add for them is
 * taken off: for these leaves this step takes its place.
 */
static void
take_step(const Explained *explained, uint32_t level, int32_t child, Step earlier, Step step)
{
	uint32_t	count = explained->point_count;
	double	   *products = explained->products + (size_t) level * count;
	double	   *sums = explained->sums + (size_t) level * count;
	double	   *sums_above = sums - count;
	const double *products_above = products - count;
	double		added = 0;

	/* nobody comes this way, with the feature or without it */
	if (step.share_with == 0 && step.share_without == 0)
		return;
	explained->steps[level] = step;
	for (uint32_t i = 0; i < count; i++)
		products[i] = products_above[i] * get_factor(step, explained->points[i]) /
			get_factor(earlier, explained->points[i]);
	follow(explained, level, child);
	for (uint32_t i = 0; i < count; i++)
	{
		double		point = explained->points[i];

		added += explained->point_weights[i] * sums[i] *
			((step.share_with - step.share_without) / get_factor(step, point) -
			 (earlier.share_with - earlier.share_without) / get_factor(earlier, point));
		sums_above[i] += sums[i];
	}
	*find_sum(explained, step.feature) += explained->factor * added;
}

/*
 * Sum up the leaves below a node, which lies on a level
 */
static void
follow(const Explained *explained, uint32_t level, int32_t child)
{
	uint32_t	count = explained->point_count;
	const double *products = explained->products + (size_t) level * count;
	double	   *sums = explained->sums + (size_t) level * count;
	const TreeNode *node;
	Step		earlier;
	Step		left;
	Step		right;

	for (uint32_t i = 0; i < count; i++)
		sums[i] = child < 0 ? get_leaf(explained, child) * products[i] : 0;
	if (child < 0)
		return;
	node = &explained->tree->nodes[child];
	earlier = find_step(explained, level, node->feature);
	left = right = earlier;
	left.share_without *= get_share(explained, node, node->left);
	right.share_without *= get_share(explained, node, node->right);
	if (goes_left(explained->tree, node, explained->features[node->feature]))
		right.share_with = 0;
	else
		left.share_with = 0;
	take_step(explained, level + 1, node->left, earlier, left);
	take_step(explained, level + 1, node->right, earlier, right);
}

/*
 * What a tree gives when every feature is left out
 */
static double
get_mean(const Explained *explained, int32_t child)
{
	const TreeNode *node;

	if (child < 0)
		return get_leaf(explained, child);
	node = &explained->tree->nodes[child];
	return get_share(explained, node, node->left) * get_mean(explained, node->left) +
		get_share(explained, node, node->right) * get_mean(explained, node->right);
}

static void
explain_trees(Explained *explained, const SqlmlPart *part, uint32_t output)
{
	const SqlmlModel *model = explained->model;
	uint32_t	iteration_size = model->output_count / part->leaf_size;

	explained->leaf_size = part->leaf_size;
	explained->place = output / iteration_size;
	explained->factor = part->weight * model->scale;
	if (part->is_average)
		explained->factor /= part->iteration_count;
	for (uint32_t i = 0; i < explained->point_count; i++)
		explained->products[i] = 1;
	for (uint32_t i = output % iteration_size; i < part->tree_count; i += iteration_size)
	{
		int32_t		root = part->trees[i].node_count > 0 ? 0 : ~0;

		explained->tree = &part->trees[i];
		count_nodes(explained);
		follow(explained, 0, root);
		explained->contributions[model->column_count] +=
			explained->factor * get_mean(explained, root);
	}
}

static double *
find_term_sum(const Explained *explained, const SqlmlTerm *term)
{
	if (term->kind == TERM_TEXT)
		return &explained->contributions[explained->model->vocabularies[term->vocabulary].column];
	return find_sum(explained, term->feature);
}

static void
explain_linear(const Explained *explained, const SqlmlPart *part, uint32_t output)
{
	const SqlmlModel *model = explained->model;
	double		factor = part->weight * model->scale;

	explained->contributions[model->column_count] += factor * part->intercepts[output];
	for (uint32_t i = 0; i < part->term_count; i++)
	{
		const SqlmlTerm *term = &part->terms[i];

		*find_term_sum(explained, term) +=
			factor * get_term(term, explained->workspace, output, model->output_count);
	}
}

static uint32_t
get_term_column(const SqlmlModel *model, const SqlmlTerm *term)
{
	return term->kind == TERM_TEXT ? model->vocabularies[term->vocabulary].column
		: model->features[term->feature].column;
}

/*
 * Note what the terms of each column add to a score, or 1 where they add too
 * little. Gives the sum of what was noted.
 */
static double
sum_column_terms(const Explained *explained, const SqlmlPart *part, uint32_t output)
{
	const SqlmlModel *model = explained->model;
	double	   *column_terms = explained->column_terms;
	double		sum = 0;

	for (uint32_t i = 0; i < model->column_count; i++)
		column_terms[i] = 0;
	for (uint32_t i = 0; i < part->term_count; i++)
		column_terms[get_term_column(model, &part->terms[i])] +=
			get_term(&part->terms[i], explained->workspace, output, model->output_count);
	for (uint32_t i = 0; i < model->column_count; i++)
		sum += column_terms[i];
	if (fabs(sum) >= TERM_SUM_MIN)
		return sum;
	for (uint32_t i = 0; i < model->column_count; i++)
		column_terms[i] = 0;
	for (uint32_t i = 0; i < part->term_count; i++)
		column_terms[get_term_column(model, &part->terms[i])] = 1;
	sum = 0;
	for (uint32_t i = 0; i < model->column_count; i++)
		sum += column_terms[i];
	return sum;
}

/*
 * Give what a score adds to the columns that it is made of, or where its part
 * is a constant, to the base
 */
static void
share_score(const Explained *explained, uint32_t feature)
{
	const SqlmlModel *model = explained->model;
	const SqlmlFeature *score = &model->features[feature];
	double		share = explained->score_shares[feature];
	double		sum = sum_column_terms(explained, &model->parts[score->source], score->place);

	if (sum == 0)
		explained->contributions[model->column_count] += share;
	else
		for (uint32_t i = 0; i < model->column_count; i++)
			explained->contributions[i] += share * (explained->column_terms[i] / sum);
}

static void
explain_output(Explained *explained, uint32_t output)
{
	const SqlmlModel *model = explained->model;
	const Encoding *encoding = model->encoding;

	for (uint32_t i = 0; i <= model->column_count; i++)
		explained->contributions[i] = 0;
	for (uint32_t i = 0; i < encoding->score_count; i++)
		explained->score_shares[encoding->scores[i]] = 0;
	for (uint32_t i = 0; i < model->part_count; i++)
	{
		const SqlmlPart *part = &model->parts[i];

		if (part->weight == 0)
			continue;
		if (part->tree_count > 0)
			explain_trees(explained, part, output);
		else
			explain_linear(explained, part, output);
	}
	for (uint32_t i = 0; i < encoding->score_count; i++)
		share_score(explained, encoding->scores[i]);
	if (model->offsets != NULL)
		explained->contributions[model->column_count] += model->offsets[output];
}

static SqlmlStatus
check_model(const SqlmlModel *model, SqlmlError *error)
{
	memset(error, 0, sizeof(*error));
	if (model->blends_responses)
		snprintf(error->message, sizeof(error->message),
				 "a model that blends the responses of its parts has no contributions");
	else if (measure(model).depth > DEPTH_MAX)
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
	Explained	explained;

	if (check_model(model, error) != SQLML_OK)
		return error->status;
	explained = divide_memory(model, memory);
	make_points(&explained);
	encode_row(model, values, explained.workspace);
	for (uint32_t k = 0; k < model->output_count; k++)
	{
		explained.contributions = contributions + stride * k;
		explain_output(&explained, k);
	}
	return SQLML_OK;
}
