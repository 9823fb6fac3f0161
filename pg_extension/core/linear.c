/*
 * linear.c
 *	  Linear scores: intercepts, then the terms in their order.
 */
#include <math.h>

#include "internal.h"

#define TERM_SIZE_MIN 12		/* kind, feature or vocabulary, a count */

static void
read_numeric_term(Reader *reader, SqlmlTerm *term)
{
	size_t		output_count = reader->model->output_count;

	term->low = read_finite(reader);
	term->high = read_finite(reader);
	term->mean = read_finite(reader);
	term->inverse_scale = read_finite(reader);
	term->weights = reader_allocate(reader, output_count, sizeof(double));
	term->missing_weights = reader_allocate(reader, output_count, sizeof(double));
	read_doubles(reader, term->weights, output_count);
	read_doubles(reader, term->missing_weights, output_count);
	if (term->low > term->high)
		fail(reader, SQLML_DAMAGED, "artifact has a term with an empty range");
}

static void
read_code_term(Reader *reader, SqlmlTerm *term, const SqlmlFeature *feature)
{
	size_t		output_count = reader->model->output_count;
	size_t		code_count = read_count(reader, sizeof(double) * output_count);

	if (code_count != (size_t) feature->level_count + 2)
		fail(reader, SQLML_DAMAGED, "artifact has a term that lacks a weight");
	term->weights = reader_allocate(reader, code_count * output_count, sizeof(double));
	read_doubles(reader, term->weights, code_count * output_count);
}

static void
read_text_term(Reader *reader, SqlmlTerm *term)
{
	const SqlmlModel *model = reader->model;
	size_t		output_count = model->output_count;
	size_t		term_count = read_count(reader, sizeof(float) * output_count);

	if (term->vocabulary >= model->vocabulary_count)
	{
		fail(reader, SQLML_DAMAGED, "artifact has a term of nothing");
		return;
	}
	if (term_count != model->vocabularies[term->vocabulary].term_count)
		fail(reader, SQLML_DAMAGED, "artifact has a term that lacks a weight");
	term->text_weights = reader_allocate(reader, term_count * output_count, sizeof(float));
	read_floats(reader, term->text_weights, term_count * output_count);
}

static void
read_step_term(Reader *reader, SqlmlTerm *term)
{
	size_t		output_count = reader->model->output_count;

	term->step_count = read_count(reader, sizeof(double) * output_count);
	if (term->step_count == 0)
		fail(reader, SQLML_DAMAGED, "artifact has a term that lacks a weight");
	term->weights = reader_allocate(reader, term->step_count * output_count, sizeof(double));
	term->missing_weights = reader_allocate(reader, output_count, sizeof(double));
	read_doubles(reader, term->weights, term->step_count * output_count);
	read_doubles(reader, term->missing_weights, output_count);
}

/* The values of a step are whole numbers from 0 on, a fill too */
static bool
suits_step(const SqlmlFeature *feature)
{
	if (feature->op != OP_MONTH && feature->op != OP_DAY && feature->op != OP_WEEKDAY &&
		feature->op != OP_HOUR)
		return false;
	return isnan(feature->fill) || (feature->fill >= 0 && floor(feature->fill) == feature->fill);
}

static bool
suits_feature(TermKind kind, const SqlmlFeature *feature)
{
	if (kind == TERM_STEP)
		return suits_step(feature);
	return (kind == TERM_CODE) == (feature->op == OP_CODE);
}

static void
read_feature_term(Reader *reader, SqlmlTerm *term)
{
	const SqlmlModel *model = reader->model;
	const SqlmlFeature *feature;

	if (term->feature >= model->feature_count)
	{
		fail(reader, SQLML_DAMAGED, "artifact has a term of nothing");
		return;
	}
	feature = &model->features[term->feature];
	if (!suits_feature(term->kind, feature))
		fail(reader, SQLML_DAMAGED, "artifact has a term that does not suit its feature");
	else if (term->kind == TERM_NUMERIC)
		read_numeric_term(reader, term);
	else if (term->kind == TERM_CODE)
		read_code_term(reader, term, feature);
	else
		read_step_term(reader, term);
}

static void
read_term(Reader *reader, SqlmlTerm *term)
{
	uint32_t	kind = read_u32(reader);
	uint32_t	place = read_u32(reader);

	if (has_failed(reader))
		return;
	if (kind < TERM_NUMERIC || kind > TERM_STEP)
	{
		fail(reader, SQLML_DAMAGED, "artifact has a term of no kind");
		return;
	}
	term->kind = (TermKind) kind;
	if (term->kind == TERM_TEXT)
	{
		term->vocabulary = place;
		read_text_term(reader, term);
	}
	else
	{
		term->feature = place;
		read_feature_term(reader, term);
	}
}

void
read_linear(Reader *reader, SqlmlPart *part)
{
	uint32_t	output_count = reader->model->output_count;

	part->term_count = read_count(reader, TERM_SIZE_MIN);
	part->intercepts = reader_allocate(reader, output_count, sizeof(double));
	part->terms = reader_allocate(reader, part->term_count, sizeof(SqlmlTerm));
	if (has_failed(reader))
		return;
	read_doubles(reader, part->intercepts, output_count);
	for (uint32_t i = 0; i < part->term_count && !has_failed(reader); i++)
		read_term(reader, &part->terms[i]);
}

/*
 * The sum of the weights of a row's terms, from 0 and in their order
 */
static double
sum_text(const SqlmlTerm *term, const RowTerms *row, uint32_t output, uint32_t output_count)
{
	double		sum = 0;

	for (uint32_t i = 0; i < row->count; i++)
		sum += row->weights[i] *
			(double) term->text_weights[(size_t) row->terms[i] * output_count + output];
	return sum;
}

static double
get_step(const SqlmlTerm *term, double value, uint32_t output, uint32_t output_count)
{
	size_t		step = term->step_count - 1;

	if (isnan(value))
		return term->missing_weights[output];
	if (value < (double) step)
		step = (size_t) value;
	return term->weights[step * output_count + output];
}

static inline double
get_number(const SqlmlTerm *term, double value, uint32_t output)
{
	double		clipped;

	if (isnan(value))
		return term->missing_weights[output];
	clipped = value < term->low ? term->low : value;
	clipped = clipped > term->high ? term->high : clipped;
	return term->weights[output] * ((clipped - term->mean) * term->inverse_scale);
}

/* The terms that few models have; a call apart, lest it slow the others down */
static __attribute__((noinline)) double
get_rare_term(const SqlmlTerm *term, const SqlmlWorkspace *workspace, uint32_t output,
			  uint32_t output_count)
{
	if (term->kind == TERM_STEP)
		return get_step(term, workspace->features[term->feature], output, output_count);
	return sum_text(term, &workspace->terms[term->vocabulary], output, output_count);
}

static inline double
get_any_term(const SqlmlTerm *term, const SqlmlWorkspace *workspace, uint32_t output,
			 uint32_t output_count)
{
	if (term->kind == TERM_CODE)
		return term->weights[(size_t) workspace->features[term->feature] * output_count + output];
	if (term->kind == TERM_NUMERIC)
		return get_number(term, workspace->features[term->feature], output);
	return get_rare_term(term, workspace, output, output_count);
}

/*
 * What a term adds to an output
 */
double
get_term(const SqlmlTerm *term, const SqlmlWorkspace *workspace, uint32_t output,
		 uint32_t output_count)
{
	return get_any_term(term, workspace, output, output_count);
}

void
score_linear(const SqlmlModel *model, const SqlmlPart *part, const SqlmlWorkspace *workspace,
			 double *scores)
{
	for (uint32_t k = 0; k < model->output_count; k++)
	{
		double		score = part->intercepts[k];

		for (uint32_t i = 0; i < part->term_count; i++)
			score += get_any_term(&part->terms[i], workspace, k, model->output_count);
		scores[k] = score;
	}
}
