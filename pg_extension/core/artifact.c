/*
 * artifact.c
 *	  Open an artifact, and what its scores mean.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

#define HEADER_SIZE 32
#define COLUMN_SIZE_MIN 12		/* kind and two texts */

static const uint8_t MAGIC[8] = {'S', 'Q', 'L', 'M', 'L', 'A', 'R', 'T'};

enum
{
	SECTION_MODEL = 1,
	SECTION_COLUMNS = 2,
	SECTION_FEATURES = 3,
	SECTION_TREES = 4,
	SECTION_LINEAR = 5
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

static void
read_model(Reader *reader)
{
	SqlmlModel *model = reader->model;
	uint32_t	problem = read_u32(reader);

	model->output_count = read_u32(reader);
	model->class_count = read_count(reader, sizeof(uint32_t));
	model->classes = read_texts(reader, model->class_count);
	model->problem = (SqlmlProblem) problem;
	if ((problem == SQLML_BINARY && model->output_count == 1 && model->class_count == 2) ||
		(problem == SQLML_MULTICLASS && model->class_count >= 2 &&
		 model->output_count == model->class_count) ||
		(problem == SQLML_REGRESSION && model->output_count == 1 && model->class_count == 0))
		return;
	fail(reader, SQLML_DAMAGED, "artifact has outputs that suit no problem type");
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

		if (kind > SQLML_DATETIME)
			fail(reader, SQLML_DAMAGED, "artifact has a column of no kind");
		column->kind = (SqlmlKind) kind;
		column->name = read_text(reader);
		column->type_name = read_text(reader);
		column->is_real = has_prefix(column->type_name, "real") && column->type_name.size == 4;
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

/*
 * Look at the kind of the next section without going on
 */
static bool
is_next_section(const Reader *reader, uint32_t kind)
{
	Reader		ahead = *reader;

	return read_u32(&ahead) == kind;
}

/*
 * Read what turns features into raw scores
 */
static void
read_part(Reader *reader)
{
	SqlmlModel *model = reader->model;
	bool		is_trees = is_next_section(reader, SECTION_TREES);
	Reader		section = open_section(reader, is_trees ? SECTION_TREES : SECTION_LINEAR);

	model->parts = reader_allocate(reader, 1, sizeof(SqlmlPart));
	if (has_failed(reader))
		return;
	model->part_count = 1;
	if (is_trees)
		read_trees(&section, &model->parts[0]);
	else
		read_linear(&section, &model->parts[0]);
	close_section(reader, &section);
}

SqlmlModel *
sqlml_open(const uint8_t *bytes, size_t size, const SqlmlAllocator *allocator, SqlmlError *error)
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
	read_section(&reader, SECTION_FEATURES, read_features);
	read_part(&reader);
	if (reader.offset != size)
		fail(&reader, SQLML_DAMAGED, "artifact has bytes that belong to nothing");
	if (has_failed(&reader))
	{
		sqlml_close(model);
		return NULL;
	}
	return model;
}

/* Room to begin the doubles at a cache line */
#define ALIGNMENT 64

size_t
sqlml_workspace_size(const SqlmlModel *model)
{
	return sizeof(SqlmlWorkspace) + ALIGNMENT + sizeof(double) * model->feature_count;
}

SqlmlWorkspace *
sqlml_make_workspace(const SqlmlModel *model, void *memory)
{
	SqlmlWorkspace *workspace = memory;
	uintptr_t	end = (uintptr_t) (workspace + 1);

	(void) model;
	workspace->features = (double *) ((end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
	return workspace;
}

void
sqlml_score(const SqlmlModel *model, const SqlmlValue *values, SqlmlWorkspace *workspace,
			double *scores)
{
	const SqlmlPart *part = &model->parts[0];

	encode_row(model, values, workspace);
	if (part->tree_count > 0)
		score_trees(model, part, workspace->features, scores);
	else
		score_linear(model, part, workspace->features, scores);
}

bool
sqlml_is_exact(const SqlmlModel *model)
{
	return model->part_count == 1 && model->parts[0].tree_count > 0;
}

double
sqlml_value(const SqlmlModel *model, const double *scores)
{
	(void) model;
	return scores[0];
}

uint32_t
sqlml_choose_class(const SqlmlModel *model, const double *scores)
{
	uint32_t	best = 0;

	if (model->problem == SQLML_BINARY)
		return scores[0] > 0;
	for (uint32_t k = 1; k < model->output_count; k++)
		if (scores[k] > scores[best])
			best = k;
	return best;
}

double
sqlml_probability(const SqlmlModel *model, const double *scores, uint32_t class_index)
{
	double		largest = scores[0];
	double		sum = 0;

	if (model->problem == SQLML_BINARY)
	{
		double		positive = 1 / (1 + exp(-scores[0]));

		return class_index == 1 ? positive : 1 - positive;
	}
	for (uint32_t k = 1; k < model->output_count; k++)
		if (scores[k] > largest)
			largest = scores[k];
	for (uint32_t k = 0; k < model->output_count; k++)
		sum += exp(scores[k] - largest);
	return exp(scores[class_index] - largest) / sum;
}

int64_t
sqlml_find_class(const SqlmlModel *model, SqlmlText label)
{
	for (uint32_t k = 0; k < model->class_count; k++)
		if (is_same_text(model->classes[k], label))
			return k;
	return -1;
}
