/*
 * linear.c
 *	  Linear scores: intercepts, then the terms in their order.
 */
#include <math.h>

#include "internal.h"

#define TERM_SIZE_MIN 12		/* kind, feature, code count */

enum
{
	TERM_NUMERIC = 1,
	TERM_CODE = 2
};

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
read_term(Reader *reader, SqlmlTerm *term)
{
	uint32_t	kind = read_u32(reader);
	const SqlmlFeature *feature;

	term->feature = read_u32(reader);
	term->is_code = kind == TERM_CODE;
	if (has_failed(reader))
		return;
	if ((kind != TERM_NUMERIC && kind != TERM_CODE) ||
		term->feature >= reader->model->feature_count)
	{
		fail(reader, SQLML_DAMAGED, "artifact has a term of no kind");
		return;
	}
	feature = &reader->model->features[term->feature];
	if (term->is_code != (feature->op == OP_CODE))
		fail(reader, SQLML_DAMAGED, "artifact has a term that does not suit its feature");
	else if (term->is_code)
		read_code_term(reader, term, feature);
	else
		read_numeric_term(reader, term);
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
 * What a term adds to an output
 */
double
get_term(const SqlmlTerm *term, double value, uint32_t output, uint32_t output_count)
{
	double		clipped;

	if (term->is_code)
		return term->weights[(size_t) value * output_count + output];
	if (isnan(value))
		return term->missing_weights[output];
	clipped = value < term->low ? term->low : value;
	clipped = clipped > term->high ? term->high : clipped;
	return term->weights[output] * ((clipped - term->mean) * term->inverse_scale);
}

void
score_linear(const SqlmlModel *model, const SqlmlPart *part, const double *features,
			 double *scores)
{
	for (uint32_t k = 0; k < model->output_count; k++)
	{
		double		score = part->intercepts[k];

		for (uint32_t i = 0; i < part->term_count; i++)
			score += get_term(&part->terms[i], features[part->terms[i].feature], k,
							  model->output_count);
		scores[k] = score;
	}
}
