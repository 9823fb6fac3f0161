/*
 * response.c
 *	  What raw scores mean: responses, classes and probabilities.
 */
#include <math.h>

#include "internal.h"

/* What a probability of 0 or 1 is taken for, lest its raw score be infinite */
static const double PROBABILITY_MIN = 1e-15;
static const double PROBABILITY_MAX = 1 - 1e-15;

/* What a response of 0 is taken for where it is an exponential */
static const double EXPONENTIAL_MIN = 1e-300;

static double
logistic(double score)
{
	return 1 / (1 + exp(-score));
}

static double
get_largest(const double *scores, uint32_t count)
{
	double		largest = scores[0];

	for (uint32_t k = 1; k < count; k++)
		if (scores[k] > largest)
			largest = scores[k];
	return largest;
}

static double
sum_exponentials(const double *scores, uint32_t count, double largest)
{
	double		sum = 0;

	for (uint32_t k = 0; k < count; k++)
		sum += exp(scores[k] - largest);
	return sum;
}

static double
get_response(SqlmlLink link, double score)
{
	switch (link)
	{
		case SQLML_EXP:
			return exp(score);
		case SQLML_EXPM1:
			return expm1(score);
		case SQLML_SQUARE:
			return copysign(score * score, score);
		case SQLML_LOGISTIC:
			return logistic(score);
		default:
			return score;
	}
}

/*
 * Turn the raw scores of a row into its responses
 */
void
respond(SqlmlLink link, uint32_t output_count, double *scores)
{
	double		largest;
	double		sum;

	if (link != SQLML_SOFTMAX)
	{
		scores[0] = get_response(link, scores[0]);
		return;
	}
	largest = get_largest(scores, output_count);
	sum = sum_exponentials(scores, output_count, largest);
	for (uint32_t k = 0; k < output_count; k++)
		scores[k] = exp(scores[k] - largest) / sum;
}

/* NaN stays what it is */
static double
at_least(double value, double bound)
{
	return value < bound ? bound : value;
}

/*
 * Turn responses into raw scores again. The links whose responses are not
 * blended do not come here.
 */
void
invert_response(const SqlmlModel *model, double *responses)
{
	for (uint32_t k = 0; k < model->output_count; k++)
	{
		double		response = responses[k];

		if (model->link == SQLML_EXP)
			responses[k] = log(at_least(response, EXPONENTIAL_MIN));
		else if (model->link == SQLML_SOFTMAX)
			responses[k] = log(at_least(response, PROBABILITY_MIN));
		else if (model->link == SQLML_LOGISTIC)
		{
			response = at_least(response, PROBABILITY_MIN);
			response = response > PROBABILITY_MAX ? PROBABILITY_MAX : response;
			responses[k] = log(response) - log(1 - response);
		}
	}
}

double
sqlml_value(const SqlmlModel *model, const double *scores)
{
	return get_response(model->link, scores[0]);
}

uint32_t
sqlml_choose_class(const SqlmlModel *model, const double *scores)
{
	uint32_t	best = 0;

	if (model->problem == SQLML_BINARY)
		return scores[0] > model->threshold;
	for (uint32_t k = 1; k < model->output_count; k++)
		if (scores[k] > scores[best])
			best = k;
	return best;
}

double
sqlml_probability(const SqlmlModel *model, const double *scores, uint32_t class_index)
{
	double		largest;

	if (model->problem == SQLML_BINARY)
	{
		double		positive = logistic(scores[0]);

		return class_index == 1 ? positive : 1 - positive;
	}
	largest = get_largest(scores, model->output_count);
	return exp(scores[class_index] - largest) /
		sum_exponentials(scores, model->output_count, largest);
}
