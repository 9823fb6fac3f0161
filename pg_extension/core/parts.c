/*
 * parts.c
 *	  A model's parts, and the raw scores that are blended of theirs.
 */
#include <string.h>

#include "internal.h"

#define PARTS_MAX 256

enum
{
	SECTION_TREES = 4,
	SECTION_LINEAR = 5
};

/*
 * Whether a part may have a link: the model's, and where the responses of a
 * regression are blended, others that give a number
 */
static bool
suits_part(const SqlmlModel *model, uint32_t link)
{
	if (link == (uint32_t) model->link)
		return true;
	return model->blends_responses && model->problem == SQLML_REGRESSION &&
		link <= SQLML_SQUARE;
}

/*
 * Read how many parts there are, the weight and the link of each
 */
void
read_part_settings(Reader *reader)
{
	SqlmlModel *model = reader->model;
	uint32_t	count = read_count(reader, sizeof(double) + sizeof(uint32_t));
	bool		has_weight = false;

	if (count == 0 || count > PARTS_MAX)
		fail(reader, SQLML_DAMAGED, "artifact has a number of parts that suits no model");
	model->parts = reader_allocate(reader, count, sizeof(SqlmlPart));
	if (has_failed(reader))
		return;
	model->part_count = count;
	for (uint32_t i = 0; i < count; i++)
	{
		model->parts[i].weight = read_finite(reader);
		has_weight |= model->parts[i].weight != 0;
	}
	for (uint32_t i = 0; i < count; i++)
	{
		uint32_t	link = read_u32(reader);

		if (!suits_part(model, link))
			fail(reader, SQLML_DAMAGED, "artifact has a link that suits no part");
		model->parts[i].link = (SqlmlLink) link;
	}
	if (!has_weight)
		fail(reader, SQLML_DAMAGED, "artifact has no part of any weight");
}

/*
 * Look at the kind of the next section without going on
 */
static bool
is_next_section(const Reader *reader, uint32_t kind)
{
	Reader		ahead = *reader;

	return read_u32(&ahead) == kind;
}

/*
 * Check that scores are of linear parts that need none
 */
static void
check_sources(Reader *reader)
{
	const SqlmlModel *model = reader->model;

	for (uint32_t i = 0; i < model->part_count && !has_failed(reader); i++)
	{
		const SqlmlPart *part = &model->parts[i];

		if (part->source == 0)
			continue;
		if (part->tree_count > 0)
			fail(reader, SQLML_DAMAGED, "artifact has a score that is made of nothing");
		for (uint32_t k = 0; k < part->term_count; k++)
			if (part->terms[k].kind != TERM_TEXT &&
				model->features[part->terms[k].feature].op == OP_SCORE)
				fail(reader, SQLML_DAMAGED, "artifact has a score that is made of scores");
	}
}

/*
 * Read a section for each part
 */
void
read_parts(Reader *reader)
{
	SqlmlModel *model = reader->model;

	for (uint32_t i = 0; i < model->part_count && !has_failed(reader); i++)
	{
		bool		is_trees = is_next_section(reader, SECTION_TREES);
		Reader		section = open_section(reader, is_trees ? SECTION_TREES : SECTION_LINEAR);

		if (has_failed(reader))
			return;
		if (is_trees)
			read_trees(&section, &model->parts[i]);
		else
			read_linear(&section, &model->parts[i]);
		close_section(reader, &section);
	}
	check_sources(reader);
}

double *
get_source_scores(const SqlmlModel *model, const SqlmlWorkspace *workspace, uint32_t source)
{
	return workspace->source_scores + (size_t) source * model->output_count;
}

static void
score_part(const SqlmlModel *model, const SqlmlPart *part, SqlmlWorkspace *workspace,
		   double *scores)
{
	if (part->tree_count > 0)
		sum_leaves(model, part, workspace, scores);
	else if (part->source > 0)
		memcpy(scores, get_source_scores(model, workspace, part->source - 1),
			   model->output_count * sizeof(double));
	else
		score_linear(model, part, workspace, scores);
	if (part->is_average)
		for (uint32_t k = 0; k < model->output_count; k++)
			scores[k] /= part->iteration_count;
}

static void
blend_parts(const SqlmlModel *model, SqlmlWorkspace *workspace, double *scores)
{
	bool		is_first = true;

	for (uint32_t i = 0; i < model->part_count; i++)
	{
		const SqlmlPart *part = &model->parts[i];
		double	   *own = is_first ? scores : workspace->part_scores;

		if (part->weight == 0)
			continue;
		score_part(model, part, workspace, own);
		if (model->blends_responses)
			respond(part->link, model->output_count, own);
		for (uint32_t k = 0; k < model->output_count; k++)
			scores[k] = is_first ? part->weight * own[k] : scores[k] + part->weight * own[k];
		is_first = false;
	}
	if (model->blends_responses)
		invert_response(model, scores);
}

static void
calibrate(const SqlmlModel *model, double *scores)
{
	for (uint32_t k = 0; k < model->output_count; k++)
		scores[k] *= model->scale;
	if (model->offsets != NULL)
		for (uint32_t k = 0; k < model->output_count; k++)
			scores[k] += model->offsets[k];
}

void
sqlml_score(const SqlmlModel *model, const SqlmlValue *values, SqlmlWorkspace *workspace,
			double *scores)
{
	encode_row(model, values, workspace);
	blend_parts(model, workspace, scores);
	calibrate(model, scores);
}

bool
sqlml_is_exact(const SqlmlModel *model)
{
	for (uint32_t i = 0; i < model->part_count; i++)
		if (model->parts[i].tree_count == 0)
			return false;
	return !model->blends_responses;
}
