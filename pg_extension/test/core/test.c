/*
 * test.c
 *	  The scoring core without PostgreSQL and Python: every evaluator and
 *	  instruction set gives the scores of the plain walk, bit for bit, on models
 *	  and rows drawn at random, hostile sizes open soon or are refused, and
 *	  dictionaries and vocabularies find each text and no other.
 *
 * tests/predict compares the same evaluators with LightGBM itself.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dictionary.h"
#include "evaluator.h"
#include "text.h"

#define MODEL_COUNT 150
#define ROW_COUNT 100
#define FEATURE_COUNT 6			/* the first three are codes */
#define CODE_COUNT 3
#define LEVEL_COUNT 70

/*
 * Writing artifacts
 */

typedef struct Writer
{
	uint8_t    *bytes;
	size_t		size;
	size_t		room;
} Writer;

static void
put(Writer *writer, const void *bytes, size_t size)
{
	while (writer->size + size > writer->room)
	{
		writer->room = 2 * writer->room + 1024;
		writer->bytes = realloc(writer->bytes, writer->room);
		if (writer->bytes == NULL)
			abort();
	}
	memcpy(writer->bytes + writer->size, bytes, size);
	writer->size += size;
}

static void
put_u32(Writer *writer, uint32_t value)
{
	put(writer, &value, sizeof(value));
}

static void
put_u64(Writer *writer, uint64_t value)
{
	put(writer, &value, sizeof(value));
}

static void
put_double(Writer *writer, double value)
{
	put(writer, &value, sizeof(value));
}

static void
put_text(Writer *writer, const char *text)
{
	put_u32(writer, (uint32_t) strlen(text));
	put(writer, text, strlen(text));
}

/* Begin a section; end_section fills its size in */
static size_t
begin_section(Writer *writer, uint32_t kind)
{
	put_u32(writer, kind);
	put_u32(writer, 0);
	put_u64(writer, 0);
	return writer->size;
}

static void
end_section(Writer *writer, size_t start)
{
	uint64_t	size = writer->size - start;

	memcpy(writer->bytes + start - sizeof(size), &size, sizeof(size));
}

static uint64_t state = UINT64_C(88172645463325252);

static uint32_t
draw(uint32_t limit)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t) ((state >> 32) % limit);
}

static double
draw_double(void)
{
	static const double special[] = {
		0.0, -0.0, (double) 1e-35f, -(double) 1e-35f, 5e-324, -5e-324, 1e-36, 1, -1, 2, 1e300,
		16777217, 9007199254740992.0, 2147483647, 2147483648.0, INFINITY, -INFINITY
	};

	if (draw(4) == 0)
		return special[draw(sizeof(special) / sizeof(*special))];
	return draw(2) ? (double) draw(2000) / 8 - 100 : (double) draw(80);
}

/* How the splits of a model are drawn */
typedef struct Shape
{
	uint32_t	tree_count;
	uint32_t	leaf_most;
	uint32_t	word_count;		/* of a category set of a number */
	bool		is_chain;		/* every split is of the rightmost leaf */
	uint32_t	only_feature;	/* UINT32_MAX: any */
	bool		is_categorical;	/* every split; else some are */
	uint32_t	class_count;	/* as many outputs; 0: a regression of one */
	bool		has_all_outputs;	/* each tree adds to all of them */
} Shape;

static void
put_model(Writer *writer, uint32_t class_count)
{
	size_t		start = begin_section(writer, 1);
	SqlmlLink	link = class_count > 0 ? SQLML_SOFTMAX : SQLML_IDENTITY;

	put_u32(writer, class_count > 0 ? SQLML_MULTICLASS : SQLML_REGRESSION);
	put_u32(writer, class_count > 0 ? class_count : 1);
	put_u32(writer, class_count);
	for (uint32_t i = 0; i < class_count; i++)
		put_text(writer, "a class");
	put_u32(writer, link);
	put_u32(writer, 0);
	put_double(writer, 1);
	put_u32(writer, 0);
	put_double(writer, 0);
	put_u32(writer, 1);
	put_double(writer, 1);
	put_u32(writer, link);
	end_section(writer, start);
}

static Writer
begin_artifact(uint32_t class_count)
{
	Writer		writer = {0};

	put(&writer, "SQLMLART", 8);
	put_u32(&writer, SQLML_FORMAT_VERSION);
	put_u32(&writer, 0);
	put_u64(&writer, 0);
	put_u64(&writer, 0);
	put_model(&writer, class_count);
	return writer;
}

static void
seal(Writer *writer)
{
	uint64_t	size = writer->size;
	uint32_t	crc = crc32_of(writer->bytes + 32, writer->size - 32);

	memcpy(writer->bytes + 12, &crc, sizeof(crc));
	memcpy(writer->bytes + 16, &size, sizeof(size));
}

static void
make_level(char *text, size_t size, uint32_t level)
{
	/* texts of zero to 29 characters, many alike in their first sixteen */
	snprintf(text, size, "%.*s%.0u", (int) (level % 28), "ein sehr langer Text zum Anfang", level / 28);
}

static void
put_columns_and_features(Writer *writer)
{
	size_t		start = begin_section(writer, 2);

	put_u32(writer, FEATURE_COUNT);
	for (uint32_t i = 0; i < FEATURE_COUNT; i++)
	{
		put_u32(writer, i < CODE_COUNT ? SQLML_CATEGORY : SQLML_NUMERIC);
		put_text(writer, "c");
		put_text(writer, "t");
	}
	end_section(writer, start);
	start = begin_section(writer, 6);
	put_u32(writer, 0);
	end_section(writer, start);
	start = begin_section(writer, 3);
	put_u32(writer, FEATURE_COUNT);
	for (uint32_t i = 0; i < FEATURE_COUNT; i++)
	{
		put_u32(writer, i);
		put_u32(writer, i < CODE_COUNT ? OP_CODE : OP_VALUE);
		put_double(writer, i == FEATURE_COUNT - 1 ? 0.5 : NAN);
		put_u32(writer, 0);
		put_u32(writer, 0);
		put_u32(writer, i < CODE_COUNT ? LEVEL_COUNT : 0);
		for (uint32_t level = 0; i < CODE_COUNT && level < LEVEL_COUNT; level++)
		{
			char		text[64];

			make_level(text, sizeof(text), level);
			put_text(writer, text);
		}
		put_u32(writer, 0);
	}
	end_section(writer, start);
}

static void
put_node(Writer *writer, const Shape *shape, int32_t left, int32_t right)
{
	uint32_t	feature = shape->only_feature == UINT32_MAX ? draw(FEATURE_COUNT) : shape->only_feature;
	bool		is_set = shape->is_categorical || draw(feature < CODE_COUNT ? 10 : 2) != 0;
	uint32_t	flags = is_set ? NODE_CATEGORICAL : 2 * draw(2) + 4 * draw(3);

	put_u32(writer, feature);
	put_u32(writer, flags);
	put_u32(writer, (uint32_t) left);
	put_u32(writer, (uint32_t) right);
	if (is_set)
	{
		uint32_t	first = draw(shape->word_count);

		put_u32(writer, first);
		put_u32(writer, shape->word_count - first);
	}
	else if (shape->is_chain)
		put_double(writer, draw(UINT32_MAX));
	else
		put_double(writer, draw_double());
}

static void
put_tree(Writer *writer, const Shape *shape)
{
	uint32_t	leaf_count = shape->is_chain ? shape->leaf_most : 1 + draw(shape->leaf_most);
	uint32_t	node_count = leaf_count - 1;
	int32_t    *children = calloc(2 * (size_t) node_count + 1, sizeof(int32_t));
	uint32_t   *parents = calloc(leaf_count, sizeof(uint32_t));

	for (uint32_t node = 0; node < node_count; node++)
	{
		uint32_t	leaf = shape->is_chain ? node : draw(node + 1);

		if (node > 0)
			children[parents[leaf]] = (int32_t) node;
		children[2 * node] = ~(int32_t) leaf;
		children[2 * node + 1] = ~(int32_t) (node + 1);
		parents[leaf] = 2 * node;
		parents[node + 1] = 2 * node + 1;
	}
	put_u32(writer, node_count);
	put_u32(writer, shape->word_count);
	for (uint32_t node = 0; node < node_count; node++)
		put_node(writer, shape, children[2 * node], children[2 * node + 1]);
	for (uint32_t i = 0; i < leaf_count * (shape->has_all_outputs ? shape->class_count : 1); i++)
		put_double(writer, (double) draw(UINT32_MAX) / (1 + draw(1000000)));
	for (uint32_t leaf = 0; leaf < leaf_count; leaf++)
		put_u32(writer, 1);
	for (uint32_t word = 0; word < shape->word_count; word++)
		put_u32(writer, draw(UINT32_MAX));
	free(children);
	free(parents);
}

static Writer
write_artifact(const Shape *shape)
{
	Writer		writer = begin_artifact(shape->class_count);
	size_t		start;

	put_columns_and_features(&writer);
	start = begin_section(&writer, 4);
	put_u32(&writer, shape->has_all_outputs ? 2 : 0);
	put_u32(&writer, shape->tree_count);
	for (uint32_t i = 0; i < shape->tree_count; i++)
		put_tree(&writer, shape);
	end_section(&writer, start);
	seal(&writer);
	return writer;
}

/*
 * Opening, with the memory counted
 */

typedef struct Memory
{
	size_t		used;
	size_t		most;
} Memory;

static void *
allocate(void *argument, size_t size)
{
	Memory	   *memory = argument;
	size_t	   *block = malloc(size + 16);

	if (block == NULL)
		return NULL;
	*block = size;
	memory->used += size;
	if (memory->used > memory->most)
		memory->most = memory->used;
	return (char *) block + 16;
}

static void
release(void *argument, void *pointer)
{
	Memory	   *memory = argument;
	size_t	   *block = (size_t *) ((char *) pointer - 16);

	memory->used -= *block;
	free(block);
}

static SqlmlModel *
open_model(const Writer *artifact, Memory *memory, EvaluatorKind kind, InstructionSet instructions)
{
	SqlmlAllocator allocator = {allocate, release, memory};
	EvaluatorChoice choice = {kind, instructions};
	SqlmlError	error;
	SqlmlModel *model = sqlml_open_as(artifact->bytes, artifact->size, &allocator, &choice, &error);

	if (model == NULL)
	{
		fprintf(stderr, "test: %s\n", error.message);
		exit(1);
	}
	return model;
}

/*
 * Rows
 */

static char texts[CODE_COUNT * ROW_COUNT][64];

static void
draw_rows(SqlmlValue *values)
{
	for (uint32_t row = 0; row < ROW_COUNT; row++)
		for (uint32_t i = 0; i < FEATURE_COUNT; i++)
		{
			SqlmlValue *value = &values[row * FEATURE_COUNT + i];

			value->is_missing = draw(10) == 0;
			if (i < CODE_COUNT)
			{
				char	   *text = texts[row * CODE_COUNT + i];

				make_level(text, sizeof(texts[0]), draw(LEVEL_COUNT + 10));
				value->as.text = (SqlmlText) {text, (uint32_t) strlen(text)};
			}
			else
			{
				double		number = draw(20) == 0 ? (double) NAN : draw_double();

				value->as.number = draw(3) == 0 ? nextafter(number, draw(2) ? INFINITY : -INFINITY)
					: number;
			}
		}
}

static void
score_rows(const SqlmlModel *model, const SqlmlValue *values, double *scores)
{
	void	   *memory = malloc(sqlml_workspace_size(model));
	SqlmlWorkspace *workspace = sqlml_make_workspace(model, memory);

	for (uint32_t row = 0; row < ROW_COUNT; row++)
		sqlml_score(model, values + row * FEATURE_COUNT, workspace,
					scores + (size_t) row * model->output_count);
	free(memory);
}

/*
 * Tests
 */

#define CLASS_MOST 9

static uint32_t compared_count[4][4];

static void
compare(const Writer *artifact, EvaluatorKind kind, InstructionSet instructions,
		const SqlmlValue *values, const double *expected)
{
	Memory		memory = {0, 0};
	SqlmlModel *model = open_model(artifact, &memory, kind, instructions);
	double		scores[ROW_COUNT * CLASS_MOST];

	if (get_evaluator(&model->parts[0]) == kind)
	{
		score_rows(model, values, scores);
		if (memcmp(scores, expected, ROW_COUNT * model->output_count * sizeof(double)) != 0)
		{
			fprintf(stderr, "test: evaluator %d with instructions %d differs from the plain walk\n",
					kind, instructions);
			exit(1);
		}
		compared_count[kind][instructions]++;
	}
	sqlml_close(model);
	if (memory.used != 0)
	{
		fprintf(stderr, "test: closing a model leaves %zu bytes\n", memory.used);
		exit(1);
	}
}

/* Every third model is of classes, every sixth has trees that add to all of them */
static Shape
draw_shape(uint32_t number)
{
	static const uint32_t leaf_most[] = {1, 2, 31, 32, 33, 64, 65, 300};
	Shape		shape = {1 + draw(150), leaf_most[number % 8], 1 + draw(3), false, UINT32_MAX, false,
		0, false};

	if (number % 3 == 0)
	{
		shape.class_count = 2 + draw(CLASS_MOST - 1);
		shape.has_all_outputs = number % 2 == 0;
		if (!shape.has_all_outputs)
			shape.tree_count *= shape.class_count;
	}
	return shape;
}

static void
test_evaluators(void)
{
	static SqlmlValue values[ROW_COUNT * FEATURE_COUNT];

	for (uint32_t i = 0; i < MODEL_COUNT; i++)
	{
		Shape		shape = draw_shape(i);
		Writer		artifact = write_artifact(&shape);
		Memory		memory = {0, 0};
		SqlmlModel *plain = open_model(&artifact, &memory, EVALUATOR_PLAIN, INSTRUCTIONS_ANY);
		double		expected[ROW_COUNT * CLASS_MOST];

		draw_rows(values);
		score_rows(plain, values, expected);
		sqlml_close(plain);
		for (int kind = EVALUATOR_MASKS; kind <= EVALUATOR_WALK; kind++)
			for (int set = INSTRUCTIONS_PORTABLE; set <= INSTRUCTIONS_AVX512; set++)
				compare(&artifact, (EvaluatorKind) kind, (InstructionSet) set, values, expected);
		free(artifact.bytes);
	}
	for (int set = INSTRUCTIONS_PORTABLE; set <= INSTRUCTIONS_AVX512; set++)
		printf("instructions %d: masks compared for %u models, walk for %u\n", set,
			   compared_count[EVALUATOR_MASKS][set], compared_count[EVALUATOR_WALK][set]);
	if (compared_count[EVALUATOR_MASKS][INSTRUCTIONS_PORTABLE] < MODEL_COUNT / 2 ||
		compared_count[EVALUATOR_WALK][INSTRUCTIONS_PORTABLE] < MODEL_COUNT)
	{
		fprintf(stderr, "test: too few models were compared\n");
		exit(1);
	}
}

/*
 * Sizes that only a forger would choose take no more memory than a bound and
 * another evaluator
 */
static void
test_hostile_sizes(void)
{
	static const struct
	{
		Shape		shape;
		EvaluatorKind kind;
	}			cases[] = {
		/* a chain of more splits, with more thresholds, than a walk can number */
		{{1, 100000, 1, true, 4, false, 0, false}, EVALUATOR_PLAIN},
		/* one long set, which every split of a number shares */
		{{200, 60, 20000, false, 4, true, 0, false}, EVALUATOR_PLAIN},
		/* more sets than a walk has cells */
		{{8000, 300, 3, false, 0, true, 0, false}, EVALUATOR_PLAIN},
		/* splits so many on one feature that asking them all would take long */
		{{20000, 64, 1, false, 4, false, 0, false}, EVALUATOR_PLAIN},
		/* many small trees are no attack */
		{{20000, 2, 1, false, UINT32_MAX, false, 0, false}, EVALUATOR_MASKS},
		/* long rows of leaves, of trees that split nothing */
		{{1000, 1, 1, false, UINT32_MAX, false, 3000, true}, EVALUATOR_WALK}
	};

	for (uint32_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
	{
		Writer		artifact = write_artifact(&cases[i].shape);
		Memory		memory = {0, 0};
		double		start = (double) clock() / CLOCKS_PER_SEC;
		SqlmlModel *model = open_model(&artifact, &memory, EVALUATOR_ANY, INSTRUCTIONS_ANY);

		printf("hostile size %u: %zu kB opened in %.0f ms with at most %zu kB, evaluator %d\n", i,
			   artifact.size / 1000, ((double) clock() / CLOCKS_PER_SEC - start) * 1e3,
			   memory.most / 1000, get_evaluator(&model->parts[0]));
		if (get_evaluator(&model->parts[0]) != cases[i].kind ||
			memory.most > 20 * artifact.size + (UINT64_C(400) << 20))
		{
			fprintf(stderr, "test: that is another evaluator or more memory than expected\n");
			exit(1);
		}
		sqlml_close(model);
		free(artifact.bytes);
	}
}

/*
 * Dictionaries of texts that differ in their length, or in one byte
 */

#define TEXT_SIZE_MAX 40
#define TEXTS_A_SIZE 60

static void
expect_number(const Dictionary *dictionary, SqlmlText text, uint32_t expected)
{
	uint32_t	number = find_text(dictionary, text);

	if (number == expected)
		return;
	fprintf(stderr, "test: \"%.*s\" is text %u, not %u\n", (int) text.size, text.data,
			number, expected);
	exit(1);
}

static void
test_dictionary(void)
{
	static char bytes[TEXT_SIZE_MAX * TEXTS_A_SIZE + 1][TEXT_SIZE_MAX + 1];
	static SqlmlText texts[TEXT_SIZE_MAX * TEXTS_A_SIZE + 1];
	Memory		memory = {0, 0};
	SqlmlModel	model = {.allocator = {allocate, release, &memory}};
	SqlmlError	error = {SQLML_OK, ""};
	Reader		reader = {.model = &model, .error = &error};
	Dictionary	dictionary;
	uint32_t	count = 0;

	texts[count] = (SqlmlText) {bytes[count], 0};
	count++;
	for (uint32_t size = 1; size <= TEXT_SIZE_MAX; size++)
		for (uint32_t i = 0; i < TEXTS_A_SIZE; i++, count++)
		{
			memset(bytes[count], 'a', size);
			bytes[count][i % size] = (char) ('A' + i / size);
			texts[count] = (SqlmlText) {bytes[count], size};
		}
	make_dictionary(&reader, &dictionary, texts, count);
	if (error.status != SQLML_OK)
	{
		fprintf(stderr, "test: %s\n", error.message);
		exit(1);
	}
	for (uint32_t i = 0; i < count; i++)
	{
		char		copy[TEXT_SIZE_MAX + 1];

		memcpy(copy, texts[i].data, texts[i].size);
		expect_number(&dictionary, (SqlmlText) {copy, texts[i].size}, i + 1);
		copy[texts[i].size] = '~';
		expect_number(&dictionary, (SqlmlText) {copy, texts[i].size + 1}, 0);
		for (uint32_t k = 0; k < texts[i].size; k++)
		{
			copy[k] ^= (char) 0x80;
			expect_number(&dictionary, (SqlmlText) {copy, texts[i].size}, 0);
			copy[k] ^= (char) 0x80;
		}
	}
	texts[count - 1] = texts[0];
	make_dictionary(&reader, &dictionary, texts, count);
	if (error.status != SQLML_DAMAGED)
	{
		fprintf(stderr, "test: the same text twice makes a dictionary\n");
		exit(1);
	}
	release_blocks(&model, NULL);
}

/*
 * Vocabularies: a text term whose weights are the terms' places
 */

#define WORD_COUNT 5000
#define SEED_COUNT 8			/* that the core tries */
#define CROWD 200				/* more than it probes */

static int
compare_hashes(const void *left, const void *right)
{
	uint64_t	a = *(const uint64_t *) left;
	uint64_t	b = *(const uint64_t *) right;

	return (a > b) - (a < b);
}

static Writer
write_vocabulary(const uint64_t *hashes, uint32_t count)
{
	Writer		writer = begin_artifact(0);
	size_t		start = begin_section(&writer, 2);

	put_u32(&writer, 1);
	put_u32(&writer, SQLML_CATEGORY);
	put_text(&writer, "c");
	put_text(&writer, "text");
	end_section(&writer, start);
	start = begin_section(&writer, 6);
	put_u32(&writer, 1);
	put_u32(&writer, 0);
	put_u32(&writer, 0);
	put_u32(&writer, 1);
	put_double(&writer, 1);
	put_u32(&writer, count);
	put(&writer, hashes, count * sizeof(uint64_t));
	for (uint32_t i = 0; i < count; i++)
		put_double(&writer, 1);
	put_u32(&writer, 0);
	end_section(&writer, start);
	start = begin_section(&writer, 3);
	put_u32(&writer, 0);
	end_section(&writer, start);
	start = begin_section(&writer, 5);
	put_u32(&writer, 1);
	put_double(&writer, 0);
	put_u32(&writer, TERM_TEXT);
	put_u32(&writer, 0);
	put_u32(&writer, count);
	for (uint32_t i = 0; i < count; i++)
	{
		float		weight = (float) (i + 1);

		put(&writer, &weight, sizeof(weight));
	}
	end_section(&writer, start);
	seal(&writer);
	return writer;
}

static uint64_t
hash_word(const char *word)
{
	TextReader	reader = start_text((SqlmlText) {word, (uint32_t) strlen(word)});
	uint64_t	hash = 0;

	read_token(&reader, &hash);
	return hash;
}

/* Every other word is known; each of those adds its own weight, again in each row */
static void
test_vocabulary(void)
{
	static uint64_t hashes[WORD_COUNT];
	Memory		memory = {0, 0};
	Writer		artifact;
	SqlmlModel *model;
	void	   *place;
	SqlmlWorkspace *workspace;

	for (uint32_t i = 0; i < WORD_COUNT; i++)
	{
		char		word[32];

		snprintf(word, sizeof(word), "w%u", 2 * i);
		hashes[i] = hash_word(word);
	}
	qsort(hashes, WORD_COUNT, sizeof(uint64_t), compare_hashes);
	artifact = write_vocabulary(hashes, WORD_COUNT);
	model = open_model(&artifact, &memory, EVALUATOR_ANY, INSTRUCTIONS_ANY);
	place = malloc(sqlml_workspace_size(model));
	workspace = sqlml_make_workspace(model, place);
	for (uint32_t i = 0; i < 2 * WORD_COUNT; i++)
	{
		char		word[32];
		SqlmlValue	value = {.is_missing = false};
		uint64_t	hash;
		const uint64_t *known;
		double		expected;
		double		score;

		snprintf(word, sizeof(word), "w%u", i);
		hash = hash_word(word);
		known = bsearch(&hash, hashes, WORD_COUNT, sizeof(uint64_t), compare_hashes);
		expected = known == NULL ? 0 : (double) (known - hashes + 1);
		value.as.text = (SqlmlText) {word, (uint32_t) strlen(word)};
		sqlml_score(model, &value, workspace, &score);
		if (score != expected || (known != NULL) != (i % 2 == 0))
		{
			fprintf(stderr, "test: \"%s\" is term %g, not %g\n", word, score, expected);
			exit(1);
		}
	}
	free(place);
	sqlml_close(model);
	free(artifact.bytes);
}

static uint64_t
invert(uint64_t odd)
{
	uint64_t	inverse = odd;

	for (int i = 0; i < 6; i++)
		inverse *= 2 - odd * inverse;
	return inverse;
}

/*
 * Terms that all want the first slot: another seed helps, and where no seed
 * does, the artifact is refused
 */
static void
test_crowded_vocabulary(uint32_t seed_count, SqlmlStatus expected)
{
	static uint64_t hashes[SEED_COUNT * CROWD];
	Memory		memory = {0, 0};
	SqlmlAllocator allocator = {allocate, release, &memory};
	uint32_t	count = 0;
	SqlmlError	error;
	SqlmlModel *model;
	Writer		artifact;

	for (uint32_t seed = 0; seed < seed_count; seed++)
		for (uint64_t mixed = 1; mixed <= CROWD; mixed++)
		{
			uint64_t	hash = mixed * invert(UINT64_C(0xD6E8FEB86659FD93));

			hash = (hash ^ hash >> 32) * invert(UINT64_C(0x9E3779B97F4A7C15));
			hashes[count++] = hash ^ seed * UINT64_C(0xA0761D6478BD642F);
		}
	qsort(hashes, count, sizeof(uint64_t), compare_hashes);
	artifact = write_vocabulary(hashes, count);
	model = sqlml_open(artifact.bytes, artifact.size, &allocator, &error);
	if (error.status != expected)
	{
		fprintf(stderr, "test: crowded terms give status %d: %s\n", error.status, error.message);
		exit(1);
	}
	if (model != NULL)
		sqlml_close(model);
	free(artifact.bytes);
}

int
main(void)
{
	test_evaluators();
	test_hostile_sizes();
	test_dictionary();
	test_vocabulary();
	test_crowded_vocabulary(1, SQLML_OK);
	test_crowded_vocabulary(SEED_COUNT - 1, SQLML_OK);
	test_crowded_vocabulary(SEED_COUNT, SQLML_DAMAGED);
	return 0;
}
