/*
 * array.c
 *	  An element of an array, or one number that sums it up.
 */
#include <math.h>

#include "internal.h"

static double
get_mean(SqlmlArray array)
{
	double		sum = 0;
	uint32_t	count = 0;

	for (uint32_t i = 0; i < array.count; i++)
		if (!isnan(array.elements[i]))
		{
			sum += array.elements[i];
			count++;
		}
	return count > 0 ? sum / count : NAN;
}

/* The first of the smallest; of the largest where the sign is -1 */
static double
get_extreme(SqlmlArray array, double sign)
{
	double		extreme = NAN;

	for (uint32_t i = 0; i < array.count; i++)
		if (isnan(extreme) || sign * array.elements[i] < sign * extreme)
			extreme = array.elements[i];
	return extreme;
}

static double
get_summary(SqlmlOp op, uint32_t place, SqlmlArray array)
{
	switch (op)
	{
		case OP_ELEMENT:
			return place < array.count ? array.elements[place] : NAN;
		case OP_LENGTH:
			return array.count;
		case OP_MEAN:
			return get_mean(array);
		case OP_MINIMUM:
			return get_extreme(array, 1);
		default:
			return get_extreme(array, -1);
	}
}

double
summarise_array(const SqlmlFeature *feature, const SqlmlValue *value)
{
	double		summary = value->is_missing ? NAN
		: get_summary(feature->op, feature->place, value->as.array);

	return isnan(summary) ? feature->fill : summary;
}
