/*
 * features.c
 *	  Read what makes the features of a row.
 */
#include <math.h>

#include "internal.h"

#define FEATURE_SIZE_MIN 32		/* column, op, fill, source, place, two counts */

static bool
suits_kind(SqlmlOp op, SqlmlKind kind)
{
	if (op == OP_VALUE)
		return kind == SQLML_NUMERIC || kind == SQLML_BOOLEAN;
	if (op == OP_CODE || (op >= OP_LOOKUP && op <= OP_TOPIC))
		return kind == SQLML_CATEGORY;
	if (op >= OP_ELEMENT)
		return kind == SQLML_ARRAY;
	return kind == SQLML_DATETIME;
}

static bool
suits_column(const SqlmlModel *model, const SqlmlFeature *feature, uint32_t op)
{
	if (op == OP_SCORE)
		return feature->column == NO_COLUMN;
	return op < OP_COUNT && feature->column < model->column_count &&
		suits_kind((SqlmlOp) op, model->columns[feature->column].kind);
}

/*
 * Whether a feature states only what its operation needs
 */
static bool
has_sound_settings(const SqlmlFeature *feature, uint32_t value_count)
{
	SqlmlOp		op = feature->op;
	bool		has_source = op == OP_LOOKUP || op == OP_TOPIC || op == OP_SCORE;
	bool		has_place = op == OP_TOPIC || op == OP_SCORE || op == OP_ELEMENT;

	return !isinf(feature->fill) &&
		(isnan(feature->fill) || !has_source) &&
		(has_source || feature->source == 0) &&
		(has_place || feature->place == 0) &&
		(op == OP_CODE || feature->level_count == 0) &&
		(op == OP_LOOKUP || value_count == 0);
}

/*
 * Whether there is what a feature refers to. The parts are still to be read,
 * so that scores are looked at later.
 */
static bool
has_sound_source(const SqlmlModel *model, const SqlmlFeature *feature, uint32_t value_count)
{
	uint32_t	source = feature->source;

	switch (feature->op)
	{
		case OP_LOOKUP:
			return source < (size_t) (feature - model->features) &&
				model->features[source].op == OP_CODE &&
				model->features[source].column == feature->column &&
				value_count == (uint64_t) model->features[source].level_count + 2;
		case OP_TOPIC:
			return source < model->vocabulary_count &&
				model->vocabularies[source].column == feature->column &&
				feature->place < model->vocabularies[source].component_count;
		case OP_SCORE:
			return source < model->part_count && feature->place < model->output_count;
		default:
			return true;
	}
}

static void
read_feature(Reader *reader, SqlmlFeature *feature)
{
	const SqlmlModel *model = reader->model;
	const SqlmlText *levels;
	uint32_t	op;
	uint32_t	value_count;

	feature->column = read_u32(reader);
	op = read_u32(reader);
	feature->fill = read_double(reader);
	feature->source = read_u32(reader);
	feature->place = read_u32(reader);
	if (has_failed(reader))
		return;
	if (!suits_column(model, feature, op))
	{
		fail(reader, SQLML_DAMAGED, "artifact has a feature that suits no column");
		return;
	}
	feature->op = (SqlmlOp) op;
	feature->level_count = read_count(reader, sizeof(uint32_t));
	levels = read_texts(reader, feature->level_count);
	value_count = read_count(reader, sizeof(double));
	if (has_failed(reader))
		return;
	if (!has_sound_settings(feature, value_count))
		fail(reader, SQLML_DAMAGED, "artifact has a feature with impossible settings");
	else if (!has_sound_source(model, feature, value_count))
		fail(reader, SQLML_DAMAGED, "artifact has a feature that is made of nothing");
	if (op == OP_CODE)
		make_dictionary(reader, &feature->levels, levels, feature->level_count);
	if (op == OP_TOPIC && !has_failed(reader))
		model->vocabularies[feature->source].has_topics = true;
	feature->values = reader_allocate(reader, value_count, sizeof(double));
	read_doubles(reader, feature->values, value_count);
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
