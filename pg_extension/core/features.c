/*
 * features.c
 *	  Turn the values of a row into features.
 */
#include <math.h>
#include <string.h>

#include "dictionary.h"

#define FEATURE_SIZE_MIN 20		/* column, op, fill, level count */

static bool
suits_kind(SqlmlOp op, SqlmlKind kind)
{
	if (op == OP_VALUE)
		return kind == SQLML_NUMERIC || kind == SQLML_BOOLEAN;
	if (op == OP_CODE)
		return kind == SQLML_CATEGORY;
	return kind == SQLML_DATETIME;
}

static void
read_feature(Reader *reader, SqlmlFeature *feature)
{
	const SqlmlModel *model = reader->model;
	uint32_t	op;

	feature->column = read_u32(reader);
	op = read_u32(reader);
	feature->fill = read_double(reader);
	feature->level_count = read_count(reader, sizeof(uint32_t));
	if (has_failed(reader))
		return;
	if (op >= OP_COUNT || feature->column >= model->column_count ||
		!suits_kind((SqlmlOp) op, model->columns[feature->column].kind))
	{
		fail(reader, SQLML_DAMAGED, "artifact has a feature that suits no column");
		return;
	}
	feature->op = (SqlmlOp) op;
	if (isinf(feature->fill) || (op != OP_CODE && feature->level_count > 0))
		fail(reader, SQLML_DAMAGED, "artifact has a feature with impossible settings");
	if (op == OP_CODE)
	{
		SqlmlText  *levels = read_texts(reader, feature->level_count);

		make_dictionary(reader, &feature->levels, levels, feature->level_count);
	}
}

/*
 * Sort the features by how they are encoded
 */
static void
plan_encoding(Reader *reader)
{
	const SqlmlModel *model = reader->model;
	Encoding   *encoding = reader_allocate(reader, 1, sizeof(Encoding));
	NumberStep *numbers = reader_allocate(reader, model->feature_count, sizeof(NumberStep));
	CodeStep   *codes = reader_allocate(reader, model->feature_count, sizeof(CodeStep));
	uint32_t   *datetimes = reader_allocate(reader, model->feature_count, sizeof(uint32_t));

	if (has_failed(reader))
		return;
	*encoding = (Encoding) {.numbers = numbers, .codes = codes, .datetimes = datetimes};
	for (uint32_t i = 0; i < model->feature_count; i++)
	{
		const SqlmlFeature *feature = &model->features[i];

		if (feature->op == OP_VALUE)
			numbers[encoding->number_count++] = (NumberStep) {feature->column, i, feature->fill};
		else if (feature->op == OP_CODE)
			codes[encoding->code_count++] = (CodeStep) {feature->column, i, &feature->levels};
		else if (i == 0 || model->features[i - 1].column != feature->column)
			datetimes[encoding->datetime_count++] = i;
	}
	reader->model->encoding = encoding;
}

void
read_features(Reader *reader)
{
	SqlmlModel *model = reader->model;

	model->feature_count = read_count(reader, FEATURE_SIZE_MIN);
	model->features = reader_allocate(reader, model->feature_count, sizeof(SqlmlFeature));
	for (uint32_t i = 0; i < model->feature_count && !has_failed(reader); i++)
		read_feature(reader, &model->features[i]);
	plan_encoding(reader);
}

/*
 * Chosen by their bits: compilers would branch, and NULL comes in no order
 */
static inline double
fill_number(const SqlmlValue *value, double fill)
{
	bool		is_missing = value->is_missing | (value->as.number != value->as.number);
	uint64_t	mask = -(uint64_t) is_missing;
	uint64_t	bits;
	uint64_t	fill_bits;
	double		number;

	memcpy(&bits, &value->as.number, sizeof(bits));
	memcpy(&fill_bits, &fill, sizeof(bits));
	bits = (fill_bits & mask) | (bits & ~mask);
	memcpy(&number, &bits, sizeof(bits));
	return number;
}

/* 0 is NULL, 1 any value that is no level */
static inline double
encode_code(const Dictionary *levels, const SqlmlValue *value)
{
	return value->is_missing ? 0 : (double) (find_text(levels, value->as.text) + 1);
}

double
encode_feature(const SqlmlFeature *feature, const SqlmlValue *value)
{
	Datetime	datetime;

	if (feature->op == OP_CODE)
		return encode_code(&feature->levels, value);
	if (feature->op == OP_VALUE)
		return fill_number(value, feature->fill);
	if (value->is_missing)
		return feature->fill;
	datetime = split_datetime(value->as.micros);
	return get_datetime_part(&datetime, feature->op);
}

/*
 * Encode the features from i on that are parts of the same datetime
 */
static void
encode_datetime(const SqlmlModel *model, const SqlmlValue *values, double *numbers, uint32_t i)
{
	uint32_t	column = model->features[i].column;
	bool		is_missing = values[column].is_missing;
	Datetime	datetime = split_datetime(is_missing ? 0 : values[column].as.micros);

	for (; i < model->feature_count && model->features[i].column == column; i++)
		numbers[i] = is_missing ? model->features[i].fill
			: get_datetime_part(&datetime, model->features[i].op);
}

static void
encode_numbers(const NumberStep *steps, uint32_t count, const SqlmlValue *values,
			   double *features)
{
	for (const NumberStep *step = steps; step < steps + count; step++)
		features[step->feature] = fill_number(&values[step->column], step->fill);
}

static void
encode_codes(const CodeStep *steps, uint32_t count, const SqlmlValue *values, double *features)
{
	for (const CodeStep *step = steps; step < steps + count; step++)
		features[step->feature] = encode_code(step->levels, &values[step->column]);
}

void
encode_row(const SqlmlModel *model, const SqlmlValue *values, SqlmlWorkspace *workspace)
{
	const Encoding *encoding = model->encoding;
	double	   *features = workspace->features;

	encode_numbers(encoding->numbers, encoding->number_count, values, features);
	encode_codes(encoding->codes, encoding->code_count, values, features);
	for (uint32_t i = 0; i < encoding->datetime_count; i++)
		encode_datetime(model, values, features, encoding->datetimes[i]);
	find_bins(model, workspace);
}

double
sqlml_json_number(const SqlmlColumn *column, double number)
{
	return column->is_real ? (double) (float) number : number;
}

SqlmlText
sqlml_json_text(const SqlmlColumn *column, SqlmlText text)
{
	if (column->is_padded)
		while (text.size > 0 && text.data[text.size - 1] == ' ')
			text.size--;
	return text;
}
