/*
 * elements.c
 *	  Arrays of numbers become doubles.
 *
 * Of several dimensions the elements come in the order in which they are
 * stored, the last dimension fastest. Bounds mean nothing.
 */
#include "postgres.h"

#include "access/tupmacs.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/float.h"

#include "glue.h"

/*
 * Widen the elements of a type of a fixed size. NULLs take no room among them.
 */
#define WIDEN(type) \
	do { \
		const type *stored = (const type *) ARR_DATA_PTR(array); \
\
		for (int i = 0; i < count; i++) \
			elements[i] = nulls != NULL && att_isnull(i, nulls) ? get_float8_nan() \
				: (double) *stored++; \
	} while (0)

static void
read_numerics(ArrayType *array, double *elements)
{
	Datum	   *datums;
	bool	   *is_null;
	int			count;

	deconstruct_array(array, ARR_ELEMTYPE(array), -1, false, TYPALIGN_INT,
					  &datums, &is_null, &count);
	for (int i = 0; i < count; i++)
		elements[i] = is_null[i] ? get_float8_nan() : numeric_to_double(datums[i]);
}

/*
 * Read an array. What that takes belongs to the current memory context; an
 * array of double precision without NULLs is taken where it lies.
 */
SqlmlArray
read_elements(Conversion conversion, Datum datum)
{
	ArrayType  *array = DatumGetArrayTypeP(datum);
	const bits8 *nulls = ARR_NULLBITMAP(array);
	int			count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	double	   *elements;

	if (conversion == CONVERT_FLOAT8_ARRAY && nulls == NULL)
		return (SqlmlArray) {(const double *) ARR_DATA_PTR(array), (uint32_t) count};
	elements = palloc(sizeof(double) * count);
	switch (conversion)
	{
		case CONVERT_INT2_ARRAY:
			WIDEN(int16);
			break;
		case CONVERT_INT4_ARRAY:
			WIDEN(int32);
			break;
		case CONVERT_INT8_ARRAY:
			WIDEN(int64);
			break;
		case CONVERT_FLOAT4_ARRAY:
			WIDEN(float4);
			break;
		case CONVERT_FLOAT8_ARRAY:
			WIDEN(float8);
			break;
		default:
			read_numerics(array, elements);
			break;
	}
	return (SqlmlArray) {elements, (uint32_t) count};
}

/*
 * Read an array of JSON, which holds numbers, nulls and arrays of them
 */
SqlmlArray
read_json_elements(const SqlmlColumn *column, const char *name, const char *model_name,
				   JsonbContainer *json)
{
	JsonbIterator *iterator = JsonbIteratorInit(json);
	JsonbIteratorToken token;
	JsonbValue	item;
	uint32_t	capacity = Max(JsonContainerSize(json), 1);
	uint32_t	count = 0;
	double	   *elements = palloc(sizeof(double) * capacity);

	while ((token = JsonbIteratorNext(&iterator, &item, false)) != WJB_DONE)
	{
		double		number = get_float8_nan();

		if (token == WJB_BEGIN_ARRAY || token == WJB_END_ARRAY)
			continue;
		if (token != WJB_ELEM || (item.type != jbvNull && !json_to_double(&item, &number)))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of the row has an element that is %s, but model \"%s\" expects %s",
							name, token == WJB_ELEM ? json_type_name(&item) : "an object",
							model_name, text_to_server(column->type_name))));
		if (count == capacity)
		{
			capacity *= 2;
			elements = repalloc(elements, sizeof(double) * capacity);
		}
		elements[count++] = sqlml_json_number(column, number);
	}
	return (SqlmlArray) {elements, count};
}
