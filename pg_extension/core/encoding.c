/*
 * encoding.c
 *	  Turn the values of a row into features.
 */
#include <string.h>

#include "dictionary.h"
#include "evaluator.h"

static bool
is_count(SqlmlOp op)
{
	return op >= OP_CHARACTERS && op <= OP_CAPITALS;
}

/*
 * Note that a score asks for a part, which is scored before
 */
static void
add_score(Encoding *encoding, const SqlmlModel *model, uint32_t feature)
{
	SqlmlPart  *part = &model->parts[model->features[feature].source];

	encoding->scores[encoding->score_count++] = feature;
	if (part->source != 0)
		return;
	encoding->sources[encoding->source_count++] = model->features[feature].source;
	part->source = encoding->source_count;
}

static void
add_feature(Encoding *encoding, const SqlmlModel *model, uint32_t i)
{
	const SqlmlFeature *feature = &model->features[i];

	if (feature->op == OP_VALUE)
		encoding->numbers[encoding->number_count++] =
			(NumberStep) {feature->column, i, feature->fill};
	else if (feature->op == OP_CODE)
		encoding->codes[encoding->code_count++] =
			(CodeStep) {feature->column, i, &feature->levels};
	else if (feature->op == OP_LOOKUP)
		encoding->lookups[encoding->lookup_count++] =
			(LookupStep) {feature->source, i, feature->values};
	else if (feature->op == OP_TOPIC)
		encoding->topics[encoding->topic_count++] = i;
	else if (feature->op == OP_SCORE)
		add_score(encoding, model, i);
	else if (feature->op >= OP_ELEMENT)
		encoding->arrays[encoding->array_count++] = i;
	else if (!is_count(feature->op) &&
			 (i == 0 || model->features[i - 1].column != feature->column))
		encoding->datetimes[encoding->datetime_count++] = i;
}

/*
 * The step that reads a column's text; a new one where there is none yet
 */
static TextStep *
find_text_step(Encoding *encoding, uint32_t *places, uint32_t column)
{
	if (places[column] == 0)
	{
		encoding->texts[encoding->text_count] = (TextStep) {.column = column};
		places[column] = ++encoding->text_count;
	}
	return &encoding->texts[places[column] - 1];
}

/*
 * Sort vocabularies and counts by their columns: how many there are of each,
 * where each one's begin, and then which they are
 */
static void
plan_texts(Encoding *encoding, const SqlmlModel *model, uint32_t *places)
{
	uint32_t	vocabulary_count = 0;
	uint32_t	count_count = 0;

	for (uint32_t i = 0; i < model->vocabulary_count; i++)
		find_text_step(encoding, places, model->vocabularies[i].column)->vocabulary_count++;
	for (uint32_t i = 0; i < model->feature_count; i++)
		if (is_count(model->features[i].op))
			find_text_step(encoding, places, model->features[i].column)->count_count++;
	for (TextStep *step = encoding->texts; step < encoding->texts + encoding->text_count; step++)
	{
		step->first_vocabulary = vocabulary_count;
		step->first_count = count_count;
		vocabulary_count += step->vocabulary_count;
		count_count += step->count_count;
		step->vocabulary_count = step->count_count = 0;
	}
	for (uint32_t i = 0; i < model->vocabulary_count; i++)
	{
		TextStep   *step = find_text_step(encoding, places, model->vocabularies[i].column);

		encoding->vocabularies[step->first_vocabulary + step->vocabulary_count++] = i;
	}
	for (uint32_t i = 0; i < model->feature_count; i++)
		if (is_count(model->features[i].op))
		{
			TextStep   *step = find_text_step(encoding, places, model->features[i].column);

			encoding->counts[step->first_count + step->count_count++] = i;
		}
}

/*
 * Sort the features by how they are encoded
 */
void
plan_encoding(Reader *reader)
{
	SqlmlModel *model = reader->model;
	uint32_t	count = model->feature_count;
	Encoding   *encoding = reader_allocate(reader, 1, sizeof(Encoding));
	uint32_t   *text_places = reader_allocate(reader, model->column_count, sizeof(uint32_t));

	if (encoding == NULL)
		return;
	encoding->numbers = reader_allocate(reader, count, sizeof(NumberStep));
	encoding->codes = reader_allocate(reader, count, sizeof(CodeStep));
	encoding->datetimes = reader_allocate(reader, count, sizeof(uint32_t));
	encoding->lookups = reader_allocate(reader, count, sizeof(LookupStep));
	encoding->texts = reader_allocate(reader, model->column_count, sizeof(TextStep));
	encoding->vocabularies = reader_allocate(reader, model->vocabulary_count, sizeof(uint32_t));
	encoding->counts = reader_allocate(reader, count, sizeof(uint32_t));
	encoding->topics = reader_allocate(reader, count, sizeof(uint32_t));
	encoding->arrays = reader_allocate(reader, count, sizeof(uint32_t));
	encoding->scores = reader_allocate(reader, count, sizeof(uint32_t));
	encoding->sources = reader_allocate(reader, model->part_count, sizeof(uint32_t));
	if (has_failed(reader))
		return;
	for (uint32_t i = 0; i < count; i++)
		add_feature(encoding, model, i);
	plan_texts(encoding, model, text_places);
	encoding->has_more = encoding->lookup_count + encoding->text_count +
		encoding->array_count + encoding->score_count > 0;
	model->encoding = encoding;
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

static void
encode_lookups(const LookupStep *steps, uint32_t count, double *features)
{
	for (const LookupStep *step = steps; step < steps + count; step++)
		features[step->feature] = step->values[(size_t) features[step->source]];
}

/*
 * Encode topics, once the texts are read
 */
static void
encode_topics(const SqlmlModel *model, SqlmlWorkspace *workspace)
{
	const Encoding *encoding = model->encoding;

	for (uint32_t i = 0; i < model->vocabulary_count; i++)
		sum_components(&model->vocabularies[i], &workspace->terms[i]);
	for (uint32_t i = 0; i < encoding->topic_count; i++)
	{
		const SqlmlFeature *topic = &model->features[encoding->topics[i]];
		bool		has_terms = model->vocabularies[topic->source].term_count > 0;

		workspace->features[encoding->topics[i]] =
			has_terms ? (double) (float) workspace->terms[topic->source].sums[topic->place] : 0;
	}
}

/*
 * Encode scores, which need all other features
 */
static void
encode_scores(const SqlmlModel *model, SqlmlWorkspace *workspace)
{
	const Encoding *encoding = model->encoding;

	for (uint32_t i = 0; i < encoding->source_count; i++)
		score_linear(model, &model->parts[encoding->sources[i]], workspace,
					 get_source_scores(model, workspace, i));
	for (uint32_t i = 0; i < encoding->score_count; i++)
	{
		const SqlmlFeature *score = &model->features[encoding->scores[i]];
		const double *scores = get_source_scores(model, workspace,
												 model->parts[score->source].source - 1);

		workspace->features[encoding->scores[i]] = (double) (float) scores[score->place];
	}
}

/*
 * Encode what is no number, code or part of a datetime; most models have none
 */
static void
encode_more(const SqlmlModel *model, const SqlmlValue *values, SqlmlWorkspace *workspace)
{
	const Encoding *encoding = model->encoding;

	encode_lookups(encoding->lookups, encoding->lookup_count, workspace->features);
	for (uint32_t i = 0; i < encoding->text_count; i++)
		read_text_terms(model, &encoding->texts[i], &values[encoding->texts[i].column], workspace);
	encode_topics(model, workspace);
	for (uint32_t i = 0; i < encoding->array_count; i++)
	{
		const SqlmlFeature *feature = &model->features[encoding->arrays[i]];

		workspace->features[encoding->arrays[i]] =
			summarise_array(feature, &values[feature->column]);
	}
	encode_scores(model, workspace);
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
	if (encoding->has_more)
		encode_more(model, values, workspace);
	find_bins(model, workspace);
}
