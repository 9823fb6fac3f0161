/*
 * parts.c
 *	  A model's parts, and the raw scores that are blended of theirs.
 */
#include "internal.h"

#define PARTS_MAX 256

enum
{
	SECTION_TREES = 4,
	SECTION_LINEAR = 5
};

/*
 * Read how many parts there are and the weight of each
 */
void
read_weights(Reader *reader)
{
	SqlmlModel *model = reader->model;
	uint32_t	count = read_count(reader, sizeof(double));

	if (count == 0 || count > PARTS_MAX)
		fail(reader, SQLML_DAMAGED, "artifact has a number of parts that suits no model");
	model->parts = reader_allocate(reader, count, sizeof(SqlmlPart));
	if (has_failed(reader))
		return;
	model->part_count = count;
	for (uint32_t i = 0; i < count; i++)
		model->parts[i].weight = read_finite(reader);
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
}

static void
score_part(const SqlmlModel *model, const SqlmlPart *part, SqlmlWorkspace *workspace,
		   double *scores)
{
	if (part->tree_count > 0)
		sum_leaves(model, part, workspace, scores);
	else
		score_linear(model, part, workspace->features, scores);
	if (part->is_average)
		for (uint32_t k = 0; k < model->output_count; k++)
			scores[k] /= part->tree_count / model->output_count;
}

static void
blend_parts(const SqlmlModel *model, SqlmlWorkspace *workspace, double *scores)
{
	for (uint32_t i = 0; i < model->part_count; i++)
	{
		const SqlmlPart *part = &model->parts[i];
		double	   *own = i == 0 ? scores : workspace->part_scores;

		score_part(model, part, workspace, own);
		if (model->blends_responses)
			respond(model, own);
		for (uint32_t k = 0; k < model->output_count; k++)
			scores[k] = i == 0 ? part->weight * own[k] : scores[k] + part->weight * own[k];
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
