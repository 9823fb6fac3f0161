/*
 * bench.c
 *	  How long the scoring core takes for a row, by CPU time:
 *
 *	  bench ARTIFACT [any | plain | masks | walk [any | portable | avx2 | avx512]]
 *
 * The rows are drawn from the artifact itself: numbers at its own boundaries,
 * its levels, and one value in twenty missing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "evaluator.h"

#define ROW_COUNT 1000
#define ROUNDS 15
#define ROUND_S 0.05

/* Each block notes its size, so that what a model holds can be told */
#define NOTE_SIZE 16

static void *
allocate(void *argument, size_t size)
{
	size_t	   *block = malloc(size + NOTE_SIZE);

	if (block == NULL)
		return NULL;
	*block = size;
	*(size_t *) argument += size;
	return (char *) block + NOTE_SIZE;
}

static void
release(void *argument, void *pointer)
{
	size_t	   *block = (size_t *) ((char *) pointer - NOTE_SIZE);

	*(size_t *) argument -= *block;
	free(block);
}

static double
cpu_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double) now.tv_sec + (double) now.tv_nsec * 1e-9;
}

/* xorshift: the same rows in every run */
static uint32_t
draw(uint32_t limit)
{
	static uint64_t state = UINT64_C(88172645463325252);

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t) ((state >> 32) % limit);
}

static uint8_t *
read_file(const char *path, size_t *size)
{
	FILE	   *file = fopen(path, "rb");
	uint8_t    *bytes;

	if (file == NULL || fseek(file, 0, SEEK_END) != 0)
	{
		perror(path);
		exit(1);
	}
	*size = (size_t) ftell(file);
	rewind(file);
	bytes = malloc(*size + 1);
	if (bytes == NULL || fread(bytes, 1, *size, file) != *size)
	{
		perror(path);
		exit(1);
	}
	fclose(file);
	return bytes;
}

static double
draw_number(const SqlmlModel *model, uint32_t feature)
{
	const BinSearch *search = model->evaluator->feature_searches[feature];

	if (search == NULL || search->boundary_count == 0)
		return draw(2);
	return search->levels[search->depth - 1][draw(search->boundary_count)];
}

static SqlmlText
draw_level(const SqlmlFeature *feature)
{
	static SqlmlText other = {"no such level", 13};

	return feature->level_count == 0 ? other : feature->levels.texts[draw(feature->level_count)];
}

/* The values of a row: any feature of a column will do */
static void
draw_row(const SqlmlModel *model, SqlmlValue *values)
{
	for (uint32_t i = 0; i < model->feature_count; i++)
	{
		const SqlmlFeature *feature = &model->features[i];
		SqlmlValue *value = &values[feature->column];

		if (feature->op > OP_HOUR)
			continue;
		value->is_missing = draw(20) == 0;
		if (model->columns[feature->column].kind == SQLML_CATEGORY)
			value->as.text = draw_level(feature);
		else if (model->columns[feature->column].kind == SQLML_DATETIME)
			value->as.micros = (int64_t) draw(UINT32_MAX) * 1000000;
		else
			value->as.number = draw_number(model, i);
	}
}

typedef void (*Step) (const SqlmlModel *model, const SqlmlValue *values,
					  SqlmlWorkspace *workspace, double *scores);

static void
encode_only(const SqlmlModel *model, const SqlmlValue *values, SqlmlWorkspace *workspace,
			double *scores)
{
	(void) scores;
	encode_row(model, values, workspace);
}

static int
compare_doubles(const void *left, const void *right)
{
	double		a = *(const double *) left;
	double		b = *(const double *) right;

	return (a > b) - (a < b);
}

static void
measure(const char *name, Step step, const SqlmlModel *model, const SqlmlValue *values,
		double *scores)
{
	void	   *memory = malloc(sqlml_workspace_size(model));
	SqlmlWorkspace *workspace = sqlml_make_workspace(model, memory);
	double		times[ROUNDS];

	for (int round = 0; round < ROUNDS; round++)
	{
		double		start = cpu_s();
		uint64_t	count = 0;

		while (cpu_s() - start < ROUND_S)
			for (uint32_t row = 0; row < ROW_COUNT; row++, count++)
				step(model, values + (size_t) row * model->column_count, workspace, scores);
		times[round] = (cpu_s() - start) / (double) count;
	}
	qsort(times, ROUNDS, sizeof(double), compare_doubles);
	printf("%-18s %8.0f ns a row (median %.0f)\n", name, times[0] * 1e9, times[ROUNDS / 2] * 1e9);
	free(memory);
}

static int
find_word(const char *word, const char *const *words, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(word, words[i]) == 0)
			return i;
	fprintf(stderr, "bench: unknown word %s\n", word);
	exit(2);
}

int
main(int argc, char **argv)
{
	static const char *const kinds[] = {"any", "plain", "masks", "walk"};
	static const char *const instructions[] = {"any", "portable", "avx2", "avx512"};
	size_t		allocated = 0;
	SqlmlAllocator allocator = {allocate, release, &allocated};
	EvaluatorChoice choice = {EVALUATOR_ANY, INSTRUCTIONS_ANY};
	SqlmlError	error;
	SqlmlModel *model;
	SqlmlModel *drawing;
	SqlmlValue *values;
	double	   *scores;
	double		start;
	size_t		size;
	uint8_t    *bytes;

	if (argc < 2)
	{
		fprintf(stderr, "usage: bench ARTIFACT [EVALUATOR [INSTRUCTIONS]]\n");
		return 2;
	}
	if (argc > 2)
		choice.kind = (EvaluatorKind) find_word(argv[2], kinds, 4);
	if (argc > 3)
		choice.instructions = (InstructionSet) find_word(argv[3], instructions, 4);
	bytes = read_file(argv[1], &size);
	drawing = sqlml_open(bytes, size, &allocator, &error);
	if (drawing == NULL || drawing->evaluator == NULL)
	{
		fprintf(stderr, "bench: %s\n", drawing == NULL ? error.message : "the model has no bins");
		return 1;
	}
	values = calloc((size_t) ROW_COUNT * drawing->column_count + 1, sizeof(SqlmlValue));
	for (uint32_t row = 0; row < ROW_COUNT; row++)
		draw_row(drawing, values + (size_t) row * drawing->column_count);
	allocated = 0;
	start = cpu_s();
	model = sqlml_open_as(bytes, size, &allocator, &choice, &error);
	if (model == NULL)
	{
		fprintf(stderr, "bench: %s\n", error.message);
		return 1;
	}
	printf("opened in %.2f ms, holds %zu kB\n", (cpu_s() - start) * 1e3, allocated / 1000);
	scores = calloc(model->output_count, sizeof(double));
	for (uint32_t i = 0; i < model->part_count; i++)
		printf("part %u: %u trees, %s\n", i, model->parts[i].tree_count,
			   kinds[get_evaluator(&model->parts[i])]);
	measure("encode", encode_only, model, values, scores);
	measure("encode and score", sqlml_score, model, values, scores);
	free(scores);
	free(values);
	sqlml_close(model);
	sqlml_close(drawing);
	free(bytes);
	return 0;
}
