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

double
encode_feature(const SqlmlFeature *feature, const SqlmlValue *value)
{
	double		number;

	/* 0 is NULL, 1 any value that is no level */
	if (feature->op == OP_CODE)
		return value->is_missing ? 0 : (double) (find_text(&feature->levels, value->as.text) + 2);
	if (value->is_missing)
		return feature->fill;
	if (feature->op != OP_VALUE)
		return datetime_part(feature->op, value->as.micros);
	number = value->as.number;
	return isnan(number) ? feature->fill : number;
}

void
encode_row(const SqlmlModel *model, const SqlmlValue *values, SqlmlWorkspace *workspace)
{
	for (uint32_t i = 0; i < model->feature_count; i++)
	{
		const SqlmlFeature *feature = &model->features[i];

		workspace->features[i] = encode_feature(feature, &values[feature->column]);
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
