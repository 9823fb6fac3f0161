/*
 * evaluator.c
 *	  Choose how the trees of each part are scored, and score them so.
 *
 * Masks where every tree has at most 64 leaves, else the walk on bins; what is
 * too large for either is walked plainly. The size alone decides.
 */
#include <string.h>

#include "evaluator.h"

/*
 * Make masks or a walk, or free what was made of them. False when the part
 * suits neither.
 */
static void
build_evaluator(Builder *builder, SqlmlPart *part, EvaluatorKind kind)
{
	SqlmlModel *model = builder->reader->model;
	struct SqlmlBlock *mark = model->blocks;

	if (kind == EVALUATOR_ANY || kind == EVALUATOR_MASKS)
	{
		builder->work = 0;
		part->masks = build_masks(builder, part);
		if (part->masks == NULL)
			release_blocks(model, mark);
	}
	if (part->masks == NULL && kind != EVALUATOR_MASKS && !has_failed(builder->reader))
	{
		builder->work = 0;
		part->walk = build_walk(builder, part);
		if (part->walk == NULL)
			release_blocks(model, mark);
	}
}

static void
note_needs(Evaluator *evaluator, const SqlmlPart *part)
{
	if (part->masks != NULL && part->masks->feature_count > evaluator->id_count)
		evaluator->id_count = part->masks->feature_count;
	if (part->walk != NULL && part->walk->cell_count > evaluator->cell_count)
		evaluator->cell_count = part->walk->cell_count;
}

static bool
has_trees(const SqlmlModel *model)
{
	for (uint32_t i = 0; i < model->part_count; i++)
		if (model->parts[i].tree_count > 0)
			return true;
	return false;
}

/*
 * Build what the parts are scored with, once they are read
 */
void
build_evaluators(Reader *reader, const EvaluatorChoice *choice)
{
	SqlmlModel *model = reader->model;
	struct SqlmlBlock *mark = model->blocks;
	Evaluator  *evaluator;
	Builder		builder = {.reader = reader};

	if (has_failed(reader) || choice->kind == EVALUATOR_PLAIN || !has_trees(model))
		return;
	evaluator = reader_allocate(reader, 1, sizeof(Evaluator));
	if (evaluator == NULL)
		return;
	evaluator->kernel = get_kernel(choice->instructions);
	builder.evaluator = evaluator;
	builder.scratch = *reader;
	builder.scratch.model = &builder.scratch_model;
	builder.scratch_model.allocator = model->allocator;
	if (evaluator->kernel != NULL && build_bins(&builder))
	{
		model->evaluator = evaluator;
		for (uint32_t i = 0; i < model->part_count && !has_failed(reader); i++)
		{
			if (model->parts[i].tree_count == 0)
				continue;
			build_evaluator(&builder, &model->parts[i], choice->kind);
			note_needs(evaluator, &model->parts[i]);
		}
	}
	else
		release_blocks(model, mark);
	release_blocks(&builder.scratch_model, NULL);
}

/*
 * Take the next count items of memory, beginning at a cache line
 */
void *
take_memory(uintptr_t *next, size_t count, size_t item_size)
{
	uintptr_t	memory = (*next + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;

	*next = memory + count * item_size;
	return (void *) memory;
}

/*
 * Give a workspace its memory, or where it is NULL, only tell where that ends
 */
static uintptr_t
lay_out(const SqlmlModel *model, SqlmlWorkspace *workspace, uintptr_t next)
{
	const Evaluator *evaluator = model->evaluator;
	SqlmlWorkspace own;

	own.features = take_memory(&next, model->feature_count, sizeof(double));
	own.part_scores = take_memory(&next, model->output_count, sizeof(double));
	own.bins = take_memory(&next, model->feature_count, sizeof(uint16_t));
	own.ids = take_memory(&next, evaluator ? evaluator->id_count : 0, sizeof(uint16_t *));
	own.cells = take_memory(&next, evaluator ? evaluator->cell_count : 0, sizeof(uint16_t));
	own.source_scores = take_memory(&next, (size_t) model->encoding->source_count *
									model->output_count, sizeof(double));
	own.terms = take_memory(&next, model->vocabulary_count, sizeof(RowTerms));
	for (uint32_t i = 0; i < model->vocabulary_count; i++)
	{
		RowTerms	row;

		lay_out_terms(&model->vocabularies[i], &row, &next);
		if (workspace != NULL)
			own.terms[i] = row;
	}
	if (workspace != NULL)
		*workspace = own;
	return next;
}

size_t
sqlml_workspace_size(const SqlmlModel *model)
{
	/* room to begin at a cache line, wherever the memory lies */
	return sizeof(SqlmlWorkspace) + CACHE_LINE + (size_t) lay_out(model, NULL, 0);
}

SqlmlWorkspace *
sqlml_make_workspace(const SqlmlModel *model, void *memory)
{
	SqlmlWorkspace *workspace = memory;

	lay_out(model, workspace, (uintptr_t) (workspace + 1));
	for (uint32_t i = 0; i < model->vocabulary_count; i++)
		memset(workspace->terms[i].frequencies, 0,
			   model->vocabularies[i].term_count * sizeof(uint32_t));
	return workspace;
}

EvaluatorKind
get_evaluator(const SqlmlPart *part)
{
	if (part->masks != NULL)
		return EVALUATOR_MASKS;
	return part->walk != NULL ? EVALUATOR_WALK : EVALUATOR_PLAIN;
}

static void
score_masks(const SqlmlModel *model, const Masks *masks, SqlmlWorkspace *workspace,
			double *scores)
{
	const Kernel *kernel = model->evaluator->kernel;

	for (uint32_t i = 0; i < masks->feature_count; i++)
	{
		const MaskFeature *feature = &masks->features[i];

		workspace->ids[i] = masks->ids + feature->first_id +
			(size_t) workspace->bins[feature->feature] * feature->stride;
	}
	if (masks->lane_bits == 32)
		kernel->score_masks32(masks, workspace->ids, model->output_count, scores);
	else
		kernel->score_masks64(masks, workspace->ids, model->output_count, scores);
}

/*
 * Find the bins of a row's features
 */
void
find_bins(const SqlmlModel *model, SqlmlWorkspace *workspace)
{
	const Evaluator *evaluator = model->evaluator;

	if (evaluator == NULL)
		return;
	evaluator->kernel->find_bins(evaluator->searches, evaluator->search_count,
								 workspace->features, workspace->bins);
	for (uint32_t i = 0; i < evaluator->code_count; i++)
		workspace->bins[evaluator->codes[i]] =
			(uint16_t) workspace->features[evaluator->codes[i]];
}

/*
 * The sums of the leaves, from 0 and in the order of the trees
 */
void
sum_leaves(const SqlmlModel *model, const SqlmlPart *part, SqlmlWorkspace *workspace,
		   double *scores)
{
	if (part->masks != NULL)
		score_masks(model, part->masks, workspace, scores);
	else if (part->walk != NULL)
		score_walk(part->walk, workspace->bins, workspace->cells, model->output_count, scores);
	else
		walk_trees(model, part, workspace->features, scores);
}
