/*
 * features.c
 *	  Turn the values of a row into features.
 */
#include <math.h>

#include "internal.h"

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

void
read_features(Reader *reader)
{
	SqlmlModel *model = reader->model;

	model->feature_count = read_count(reader, FEATURE_SIZE_MIN);
	model->features = reader_allocate(reader, model->feature_count, sizeof(SqlmlFeature));
	for (uint32_t i = 0; i < model->feature_count && !has_failed(reader); i++)
		read_feature(reader, &model->features[i]);
}

static double
encode_number(const SqlmlFeature *feature, const SqlmlValue *value)
{
	return value->is_missing || isnan(value->as.number) ? feature->fill : value->as.number;
}

/* 0 is NULL, 1 any value that is no level */
static double
encode_code(const SqlmlFeature *feature, const SqlmlValue *value)
{
	return value->is_missing ? 0 : (double) (find_text(&feature->levels, value->as.text) + 2);
}

double
encode_feature(const SqlmlFeature *feature, const SqlmlValue *value)
{
	Datetime	datetime;

	if (feature->op == OP_CODE)
		return encode_code(feature, value);
	if (feature->op == OP_VALUE)
		return encode_number(feature, value);
	if (value->is_missing)
		return feature->fill;
	datetime = split_datetime(value->as.micros);
	return get_datetime_part(&datetime, feature->op);
}

/*
 * Encode the features from i on that are parts of the same datetime. Gives the
 * first one that is not.
 */
static uint32_t
encode_datetime(const SqlmlModel *model, const SqlmlValue *values, double *numbers, uint32_t i)
{
	uint32_t	column = model->features[i].column;
	bool		is_missing = values[column].is_missing;
	Datetime	datetime = split_datetime(is_missing ? 0 : values[column].as.micros);

	for (; i < model->feature_count && model->features[i].column == column; i++)
		numbers[i] = is_missing ? model->features[i].fill
			: get_datetime_part(&datetime, model->features[i].op);
	return i;
}

void
encode_row(const SqlmlModel *model, const SqlmlValue *values, SqlmlWorkspace *workspace)
{
	double	   *numbers = workspace->features;

	for (uint32_t i = 0; i < model->feature_count;)
	{
		const SqlmlFeature *feature = &model->features[i];

		if (feature->op == OP_VALUE)
			numbers[i++] = encode_number(feature, &values[feature->column]);
		else if (feature->op == OP_CODE)
			numbers[i++] = encode_code(feature, &values[feature->column]);
		else
			i = encode_datetime(model, values, numbers, i);
	}
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
