/*
 * use.c
 *	  Open bytes that may be an artifact and ask everything of the model.
 *
 * All memory has exactly the size that was asked for, so that AddressSanitizer
 * sees a step beyond it. Some requests for memory are refused.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator.h"
#include "fuzz.h"

/* An artifact may need this many times its size, and tables of its trees */
#define MEMORY_FACTOR 512
#define MEMORY_BASE ((size_t) 32 << 20)

#define ROWS 4
#define WORKSPACE_SHIFTS 8		/* of eight bytes, as malloc and palloc align */

typedef struct Memory
{
	size_t		allocated;
	size_t		limit;
	size_t		live;
	size_t		until_refusal;	/* requests that are still granted */
	bool		has_refused;
} Memory;

static const double NUMBERS[] = {
	0.0, -0.0, 1.0, -1.0, 2.0, 5e-324, 1e-35, -1e-35, 1.0000000180025095e-35, 0.1, 255.5,
	2147483647.0, 2147483648.0, 4294967296.0, -2147483649.0, 9007199254740993.0,
	1.7976931348623157e308, -1.7976931348623157e308, INFINITY, -INFINITY, NAN
};

static const int64_t MICROS[] = {
	0, -1, 1, INT64_MIN, INT64_MAX, INT64_MIN + 1, -211813488000000000, 9223371331199999999,
	86399999999, 951782400000000
};

static const char *const TEXTS[] = {
	"", " ", "a", "ab", "ab ", " ab", "a b", "Paris", "K\xc3\xb6ln", "\xe6\x9d\xb1\xe4\xba\xac",
	"b b", "oui", "a text that is longer than sixteen bytes", "2000-01-01T05:00:00",
	"the THE cat sat, the Cat sat", "\xc3\xbc" "ber \xc3\x9c" "BER 1 2 33",
	"\xe6\x9d\xb1\xe4\xba\xac\xe3\x82\xbf\xe3\x83\xaf\xe3\x83\xbc\xe3\x81\xaf 333",
	/* no UTF-8: a server without an encoding may bring it */
	"\xff", "a\xc3", "\xf0\x9f\x98", "\xe6\x9d" "a", "\x80\xbf b"
};

#define ARRAY_MAX 6

static void *
allocate(void *argument, size_t size)
{
	Memory	   *memory = argument;

	if (memory->until_refusal-- == 0)
	{
		memory->has_refused = true;
		return NULL;
	}
	memory->allocated += size;
	if (memory->allocated > memory->limit)
		fail_case("opening took more memory than an artifact of its size may");
	memory->live++;
	return malloc(size);
}

static void
release(void *argument, void *pointer)
{
	Memory	   *memory = argument;

	if (pointer == NULL)
		fail_case("a null pointer was released");
	memory->live--;
	free(pointer);
}

/* A copy of exactly its size */
static void *
copy_of(const void *data, size_t size)
{
	void	   *copy = malloc(size);

	if (copy == NULL && size > 0)
		abort();
	if (size > 0)
		memcpy(copy, data, size);
	return copy;
}

static SqlmlText
draw_text(Random *random, const SqlmlModel *model)
{
	const char *text = TEXTS[draw_below(random, sizeof(TEXTS) / sizeof(TEXTS[0]))];
	SqlmlText	drawn = {text, (uint32_t) strlen(text)};

	if (model->class_count > 0 && draw_one_in(random, 4))
		drawn = model->classes[draw_below(random, model->class_count)];
	drawn.data = copy_of(drawn.data, drawn.size);
	return drawn;
}

static double
draw_number(Random *random)
{
	return draw_one_in(random, 4) ? (double) (int64_t) draw(random) / 1e17
		: NUMBERS[draw_below(random, sizeof(NUMBERS) / sizeof(NUMBERS[0]))];
}

static SqlmlArray
draw_array(Random *random)
{
	double		elements[ARRAY_MAX];
	SqlmlArray	array = {NULL, (uint32_t) draw_below(random, ARRAY_MAX + 1)};

	for (uint32_t i = 0; i < array.count; i++)
		elements[i] = draw_number(random);
	array.elements = copy_of(elements, array.count * sizeof(double));
	return array;
}

static void
draw_value(Random *random, const SqlmlModel *model, const SqlmlColumn *column, SqlmlValue *value)
{
	SqlmlText	text;

	memset(value, 0, sizeof(*value));
	value->is_missing = draw_one_in(random, 6);
	switch (column->kind)
	{
		case SQLML_NUMERIC:
			value->as.number = sqlml_json_number(column, draw_number(random));
			break;
		case SQLML_BOOLEAN:
			value->as.number = (double) draw_below(random, 2);
			break;
		case SQLML_CATEGORY:
			text = draw_text(random, model);
			value->as.text = sqlml_json_text(column, text);
			break;
		case SQLML_DATETIME:
			value->as.micros = draw_one_in(random, 4)
				? (int64_t) draw(random)
				: MICROS[draw_below(random, sizeof(MICROS) / sizeof(MICROS[0]))];
			break;
		case SQLML_ARRAY:
			value->as.array = draw_array(random);
			break;
	}
}

static void
check_answers(const SqlmlModel *model, const double *scores)
{
	if (model->problem == SQLML_REGRESSION)
	{
		(void) sqlml_value(model, scores);
		return;
	}
	if (sqlml_choose_class(model, scores) >= model->class_count)
		fail_case("the chosen class is none");
	for (uint32_t k = 0; k < model->class_count; k++)
		if (sqlml_probability(model, scores, k) < 0 || sqlml_probability(model, scores, k) > 1 + 1e-9)
			fail_case("a probability is out of range");
}

static void
explain_row(const SqlmlModel *model, const SqlmlValue *values)
{
	void	   *memory = malloc(sqlml_contribution_size(model));
	double	   *contributions = malloc(sizeof(double) * model->output_count *
									   ((size_t) model->column_count + 1));
	SqlmlError	error;
	SqlmlStatus status = sqlml_contribute(model, values, memory, contributions, &error);

	if (status != SQLML_OK && status != SQLML_UNSUPPORTED)
		fail_case("contributions failed for no reason");
	free(memory);
	free(contributions);
}

/*
 * Compare the scores of two evaluators to the last bit; NaN may be any NaN
 */
static void
compare_scores(const SqlmlModel *model, const double *scores, const double *others)
{
	for (uint32_t k = 0; k < model->output_count; k++)
		if (memcmp(&scores[k], &others[k], sizeof(double)) != 0 &&
			!(isnan(scores[k]) && isnan(others[k])))
			fail_case("two evaluators gave two answers");
}

/* One artifact, opened twice */
typedef struct Pair
{
	SqlmlModel *model;
	SqlmlModel *plain;
	SqlmlWorkspace *workspace;
	SqlmlWorkspace *plain_workspace;
} Pair;

static void
score_row(Random *random, const Pair *pair)
{
	const SqlmlModel *model = pair->model;
	SqlmlValue *values = malloc(sizeof(SqlmlValue) * model->column_count);
	double	   *scores = malloc(sizeof(double) * model->output_count);
	double	   *again = malloc(sizeof(double) * model->output_count);

	for (uint32_t i = 0; i < model->column_count; i++)
		draw_value(random, model, &model->columns[i], &values[i]);
	sqlml_score(model, values, pair->workspace, scores);
	sqlml_score(pair->plain, values, pair->plain_workspace, again);
	compare_scores(model, scores, again);
	check_answers(model, scores);
	if (draw_one_in(random, ROWS))
		explain_row(model, values);
	for (uint32_t i = 0; i < model->column_count; i++)
		if (model->columns[i].kind == SQLML_CATEGORY)
			free((void *) (uintptr_t) values[i].as.text.data);
		else if (model->columns[i].kind == SQLML_ARRAY)
			free((void *) (uintptr_t) values[i].as.array.elements);
	free(values);
	free(scores);
	free(again);
}

static void
use_models(Random *random, SqlmlModel *model, SqlmlModel *plain)
{
	size_t		shift = 8 * draw_below(random, WORKSPACE_SHIFTS);
	char	   *memory = malloc(shift + sqlml_workspace_size(model));
	char	   *plain_memory = malloc(sqlml_workspace_size(plain));
	Pair		pair = {
		model, plain,
		sqlml_make_workspace(model, memory + shift), sqlml_make_workspace(plain, plain_memory)
	};
	SqlmlText	label = draw_text(random, model);
	int64_t		micros;

	for (int row = 0; row < ROWS; row++)
		score_row(random, &pair);
	if (sqlml_find_class(model, label) >= (int64_t) model->class_count)
		fail_case("the class that was found is none");
	(void) sqlml_parse_datetime(label, &micros);
	free((void *) (uintptr_t) label.data);
	free(memory);
	free(plain_memory);
}

static void
check_refusal(const SqlmlError *error, const Memory *memory)
{
	if (error->status != SQLML_DAMAGED && error->status != SQLML_UNSUPPORTED &&
		error->status != SQLML_NO_MEMORY)
		fail_case("an artifact was refused without a reason");
	if (memory->has_refused != (error->status == SQLML_NO_MEMORY))
		fail_case("the reason is wrong about memory");
	if (error->message[0] == '\0' || memchr(error->message, '\0', sizeof(error->message)) == NULL ||
		strchr(error->message, '\n') != NULL)
		fail_case("the reason is no line of text");
}

static SqlmlModel *
open_checked(Bytes artifact, Memory *memory, const EvaluatorChoice *choice)
{
	SqlmlAllocator allocator = {allocate, release, memory};
	SqlmlError	error;
	SqlmlModel *model;

	memory->limit = MEMORY_BASE + MEMORY_FACTOR * artifact.size;
	model = sqlml_open_as(artifact.data, artifact.size, &allocator, choice, &error);
	if (model == NULL)
		check_refusal(&error, memory);
	return model;
}

bool
use_artifact(Random *random, Bytes artifact)
{
	EvaluatorChoice choice = {
		(EvaluatorKind) draw_below(random, EVALUATOR_WALK + 1),
		(InstructionSet) draw_below(random, INSTRUCTIONS_AVX512 + 1)
	};
	EvaluatorChoice plain_choice = {EVALUATOR_PLAIN, INSTRUCTIONS_ANY};
	Memory		memory = {
		.until_refusal = draw_one_in(random, 16) ? draw_below(random, 32) : SIZE_MAX
	};
	Memory		plain_memory = {.until_refusal = SIZE_MAX};
	SqlmlModel *model;
	SqlmlModel *plain;

	if (get_kernel(choice.instructions) == NULL)
		choice.instructions = INSTRUCTIONS_ANY;
	model = open_checked(artifact, &memory, &choice);
	if (model != NULL)
	{
		plain = open_checked(artifact, &plain_memory, &plain_choice);
		if (plain == NULL)
			fail_case("an artifact was opened once and refused once");
		use_models(random, model, plain);
		sqlml_close(model);
		sqlml_close(plain);
	}
	if (memory.live != 0 || plain_memory.live != 0)
		fail_case("memory was not released");
	return model != NULL;
}
