/*
 * artifact.c
 *	  Open an artifact.
 */
#include <stdio.h>
#include <string.h>

#include "evaluator.h"

#define HEADER_SIZE 32
#define COLUMN_SIZE_MIN 12		/* kind and two texts */

static const uint8_t MAGIC[8] = {'S', 'Q', 'L', 'M', 'L', 'A', 'R', 'T'};

enum
{
	SECTION_MODEL = 1,
	SECTION_COLUMNS = 2,
	SECTION_FEATURES = 3,
	SECTION_VOCABULARIES = 6
};

static void
check_version(Reader *reader)
{
	uint32_t	version = read_u32(reader);
	char		message[80];

	if (version == SQLML_FORMAT_VERSION)
		return;
	snprintf(message, sizeof(message), "artifact format version %u is not supported",
			 (unsigned) version);
	fail(reader, SQLML_UNSUPPORTED, message);
}

static void
read_header(Reader *reader)
{
	uint32_t	crc;

	if (reader->size < HEADER_SIZE || memcmp(reader->bytes, MAGIC, sizeof(MAGIC)) != 0)
	{
		fail(reader, SQLML_DAMAGED, "the bytes are not an artifact");
		return;
	}
	reader->offset = sizeof(MAGIC);
	check_version(reader);
	crc = read_u32(reader);
	if (read_u64(reader) != reader->size)
		fail(reader, SQLML_DAMAGED, "artifact does not have the size that it states");
	if (read_u64(reader) != 0)
		fail(reader, SQLML_DAMAGED, "artifact has an unknown header");
	if (!has_failed(reader) &&
		crc != crc32_of(reader->bytes + HEADER_SIZE, reader->size - HEADER_SIZE))
		fail(reader, SQLML_DAMAGED, "artifact does not match its checksum");
}

static bool
suits_problem(const SqlmlModel *model)
{
	switch (model->problem)
	{
		case SQLML_BINARY:
			return model->output_count == 1 && model->class_count == 2;
		case SQLML_MULTICLASS:
			return model->class_count >= 2 && model->output_count == model->class_count;
		case SQLML_REGRESSION:
			return model->output_count == 1 && model->class_count == 0;
	}
	return false;
}

static bool
suits_link(const SqlmlModel *model)
{
	if (model->blends_responses && (model->link == SQLML_EXPM1 || model->link == SQLML_SQUARE))
		return false;
	switch (model->problem)
	{
		case SQLML_BINARY:
			return model->link == SQLML_LOGISTIC;
		case SQLML_MULTICLASS:
			return model->link == SQLML_SOFTMAX;
		case SQLML_REGRESSION:
			return model->link < SQLML_SOFTMAX && model->threshold == 0;
	}
	return false;
}

static void
read_calibration(Reader *reader)
{
	SqlmlModel *model = reader->model;
	uint32_t	offset_count;

	model->scale = read_finite(reader);
	offset_count = read_count(reader, sizeof(double));
	if (offset_count == 0)
		return;
	if (offset_count != model->output_count)
		fail(reader, SQLML_DAMAGED, "artifact has offsets that suit no output");
	model->offsets = reader_allocate(reader, offset_count, sizeof(double));
	if (!has_failed(reader))
		read_doubles(reader, model->offsets, offset_count);
}

static void
read_model(Reader *reader)
{
	SqlmlModel *model = reader->model;
	uint32_t	blend;

	model->problem = (SqlmlProblem) read_u32(reader);
	model->output_count = read_u32(reader);
	model->class_count = read_count(reader, sizeof(uint32_t));
	model->classes = read_texts(reader, model->class_count);
	if (!suits_problem(model))
		fail(reader, SQLML_DAMAGED, "artifact has outputs that suit no problem type");
	model->link = (SqlmlLink) read_u32(reader);
	blend = read_u32(reader);
	model->blends_responses = blend == 1;
	read_calibration(reader);
	model->threshold = read_finite(reader);
	if (blend > 1 || !suits_link(model))
		fail(reader, SQLML_DAMAGED, "artifact has a link that suits no problem type");
	read_part_settings(reader);
}

static bool
has_prefix(SqlmlText text, const char *prefix)
{
	size_t		size = strlen(prefix);

	return text.size >= size && memcmp(text.data, prefix, size) == 0;
}

static void
read_columns(Reader *reader)
{
	SqlmlModel *model = reader->model;

	model->column_count = read_count(reader, COLUMN_SIZE_MIN);
	model->columns = reader_allocate(reader, model->column_count, sizeof(SqlmlColumn));
	for (uint32_t i = 0; i < model->column_count && !has_failed(reader); i++)
	{
		SqlmlColumn *column = &model->columns[i];
		uint32_t	kind = read_u32(reader);

		if (kind > SQLML_ARRAY)
			fail(reader, SQLML_DAMAGED, "artifact has a column of no kind");
		column->kind = (SqlmlKind) kind;
		column->name = read_text(reader);
		column->type_name = read_text(reader);
		column->is_real = has_prefix(column->type_name, "real") &&
			(column->type_name.size == 4 || column->kind == SQLML_ARRAY);
		column->is_padded = has_prefix(column->type_name, "character(") ||
			(has_prefix(column->type_name, "character") && column->type_name.size == 9) ||
			has_prefix(column->type_name, "bpchar");
	}
}

static void
read_section(Reader *reader, uint32_t kind, void (*read) (Reader *))
{
	Reader		section = open_section(reader, kind);

	if (has_failed(reader))
		return;
	read(&section);
	close_section(reader, &section);
}

SqlmlModel *
sqlml_open(const uint8_t *bytes, size_t size, const SqlmlAllocator *allocator, SqlmlError *error)
{
	static const EvaluatorChoice any = {EVALUATOR_ANY, INSTRUCTIONS_ANY};

	return sqlml_open_as(bytes, size, allocator, &any, error);
}

SqlmlModel *
sqlml_open_as(const uint8_t *bytes, size_t size, const SqlmlAllocator *allocator,
			  const EvaluatorChoice *choice, SqlmlError *error)
{
	SqlmlModel *model = allocator->allocate(allocator->argument, sizeof(SqlmlModel));
	Reader		reader = {bytes, size, 0, model, error};

	memset(error, 0, sizeof(*error));
	if (model == NULL)
	{
		fail(&reader, SQLML_NO_MEMORY, "out of memory");
		return NULL;
	}
	memset(model, 0, sizeof(*model));
	model->allocator = *allocator;
	read_header(&reader);
	read_section(&reader, SECTION_MODEL, read_model);
	read_section(&reader, SECTION_COLUMNS, read_columns);
	read_section(&reader, SECTION_VOCABULARIES, read_vocabularies);
	read_section(&reader, SECTION_FEATURES, read_features);
	read_parts(&reader);
	if (reader.offset != size)
		fail(&reader, SQLML_DAMAGED, "artifact has bytes that belong to nothing");
	build_evaluators(&reader, choice);
	if (has_failed(&reader))
	{
		sqlml_close(model);
		return NULL;
	}
	return model;
}

int64_t
sqlml_find_class(const SqlmlModel *model, SqlmlText label)
{
	for (uint32_t k = 0; k < model->class_count; k++)
		if (is_same_text(model->classes[k], label))
			return k;
	return -1;
}
