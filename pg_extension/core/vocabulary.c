/*
 * vocabulary.c
 *	  The known terms of a text: read them, find them, weigh them.
 */
#include <math.h>
#include <string.h>

#include "text.h"

#define VOCABULARY_SIZE_MIN 28	/* column, flags, three counts, one frequency weight */
#define FREQUENCIES_MAX 64

#define VOCABULARY_BIGRAMS 1u
#define VOCABULARY_NORMALISED 2u
#define VOCABULARY_FLAGS_MAX 3u

/* Terms whose hashes crowd are given another seed. A third of the slots is taken. */
#define SLOTS_PER_TERM 3
#define PROBES_MAX 128
#define SEEDS_MAX 8

static uint32_t
find_slot(const Vocabulary *vocabulary, uint64_t hash)
{
	uint64_t	mixed = (hash ^ vocabulary->seed) * UINT64_C(0x9E3779B97F4A7C15);

	mixed = (mixed ^ (mixed >> 32)) * UINT64_C(0xD6E8FEB86659FD93);
	return (uint32_t) ((mixed >> 32) * vocabulary->slot_count >> 32);
}

static uint32_t
get_next_slot(const Vocabulary *vocabulary, uint32_t slot)
{
	return slot + 1 == vocabulary->slot_count ? 0 : slot + 1;
}

/*
 * The number of a term, counted from 1; 0 when it is not known
 */
static uint32_t
find_term(const Vocabulary *vocabulary, uint64_t hash)
{
	uint32_t	place = find_slot(vocabulary, hash);

	/* ends, because not all slots are taken */
	for (;;)
	{
		TermSlot	slot = vocabulary->slots[place];

		if (slot.number == 0)
			return 0;
		if (slot.tag == (uint32_t) hash && vocabulary->hashes[slot.number - 1] == hash)
			return slot.number;
		place = get_next_slot(vocabulary, place);
	}
}

static bool
add_slot(Vocabulary *vocabulary, uint32_t term)
{
	uint64_t	hash = vocabulary->hashes[term];
	uint32_t	place = find_slot(vocabulary, hash);

	for (uint32_t probe = 0; probe < PROBES_MAX; probe++)
	{
		if (vocabulary->slots[place].number == 0)
		{
			vocabulary->slots[place] = (TermSlot) {(uint32_t) hash, term + 1};
			return true;
		}
		place = get_next_slot(vocabulary, place);
	}
	return false;
}

static bool
fill_slots(Vocabulary *vocabulary)
{
	memset(vocabulary->slots, 0, (size_t) vocabulary->slot_count * sizeof(TermSlot));
	for (uint32_t i = 0; i < vocabulary->term_count; i++)
		if (!add_slot(vocabulary, i))
			return false;
	return true;
}

static void
make_slots(Reader *reader, Vocabulary *vocabulary)
{
	bool		is_filled = false;

	if (vocabulary->term_count > UINT32_MAX / SLOTS_PER_TERM - 1)
		fail(reader, SQLML_DAMAGED, "artifact has too large a vocabulary");
	vocabulary->slot_count = vocabulary->term_count * SLOTS_PER_TERM + 1;
	vocabulary->slots = allocate_aligned(reader, vocabulary->slot_count, sizeof(TermSlot));
	for (uint32_t i = 0; i < SEEDS_MAX && !is_filled && !has_failed(reader); i++)
	{
		vocabulary->seed = i * UINT64_C(0xA0761D6478BD642F);
		is_filled = fill_slots(vocabulary);
	}
	if (!is_filled)
		fail(reader, SQLML_DAMAGED, "artifact has terms that are made to be slow to find");
}

static void
read_terms(Reader *reader, Vocabulary *vocabulary)
{
	vocabulary->term_count = read_count(reader, sizeof(uint64_t) + sizeof(double));
	vocabulary->hashes = reader_allocate(reader, vocabulary->term_count, sizeof(uint64_t));
	vocabulary->idf = reader_allocate(reader, vocabulary->term_count, sizeof(double));
	for (uint32_t i = 0; i < vocabulary->term_count && !has_failed(reader); i++)
	{
		vocabulary->hashes[i] = read_u64(reader);
		if (i > 0 && vocabulary->hashes[i] <= vocabulary->hashes[i - 1])
			fail(reader, SQLML_DAMAGED, "artifact has terms that do not ascend");
	}
	read_doubles(reader, vocabulary->idf, vocabulary->term_count);
	make_slots(reader, vocabulary);
}

static void
read_components(Reader *reader, Vocabulary *vocabulary)
{
	size_t		term_count = vocabulary->term_count;

	/* without terms there is nothing to read, whatever is stated */
	vocabulary->component_count = term_count > 0
		? read_count(reader, term_count * sizeof(float)) : read_u32(reader);
	vocabulary->components = allocate_aligned(reader, term_count * vocabulary->component_count,
											  sizeof(float));
	read_floats(reader, vocabulary->components, term_count * vocabulary->component_count);
}

static void
read_vocabulary(Reader *reader, Vocabulary *vocabulary)
{
	const SqlmlModel *model = reader->model;
	uint32_t	flags;

	vocabulary->column = read_u32(reader);
	flags = read_u32(reader);
	if (has_failed(reader))
		return;
	if (vocabulary->column >= model->column_count ||
		model->columns[vocabulary->column].kind != SQLML_CATEGORY)
		fail(reader, SQLML_DAMAGED, "artifact has a vocabulary that suits no column");
	if (flags > VOCABULARY_FLAGS_MAX)
		fail(reader, SQLML_DAMAGED, "artifact has a vocabulary with unknown flags");
	vocabulary->has_bigrams = (flags & VOCABULARY_BIGRAMS) != 0;
	vocabulary->is_normalised = (flags & VOCABULARY_NORMALISED) != 0;
	vocabulary->frequency_count = read_count(reader, sizeof(double));
	if (vocabulary->frequency_count == 0 || vocabulary->frequency_count > FREQUENCIES_MAX)
		fail(reader, SQLML_DAMAGED, "artifact has a vocabulary that weighs no frequencies");
	vocabulary->frequency_weights = reader_allocate(reader, vocabulary->frequency_count,
													sizeof(double));
	read_doubles(reader, vocabulary->frequency_weights, vocabulary->frequency_count);
	read_terms(reader, vocabulary);
	read_components(reader, vocabulary);
}

void
read_vocabularies(Reader *reader)
{
	SqlmlModel *model = reader->model;

	model->vocabulary_count = read_count(reader, VOCABULARY_SIZE_MIN);
	model->vocabularies = reader_allocate(reader, model->vocabulary_count, sizeof(Vocabulary));
	for (uint32_t i = 0; i < model->vocabulary_count && !has_failed(reader); i++)
		read_vocabulary(reader, &model->vocabularies[i]);
}

/*
 * Take the memory for what a row has of a vocabulary
 */
void
lay_out_terms(const Vocabulary *vocabulary, RowTerms *row, uintptr_t *next)
{
	uint32_t	term_count = vocabulary->term_count;
	bool		has_sums = vocabulary->has_topics && term_count > 0;

	row->count = 0;
	row->terms = take_memory(next, term_count, sizeof(uint32_t));
	row->weights = take_memory(next, term_count, sizeof(double));
	row->frequencies = take_memory(next, term_count, sizeof(uint32_t));
	row->sums = take_memory(next, has_sums ? vocabulary->component_count : 0, sizeof(double));
}

static void
count_term(const Vocabulary *vocabulary, RowTerms *row, uint64_t hash)
{
	uint32_t	number = find_term(vocabulary, hash);

	if (number == 0 || row->frequencies[number - 1]++ != 0)
		return;
	row->terms[row->count++] = number - 1;
	/* they are far apart and needed soon */
	if (vocabulary->has_topics)
		__builtin_prefetch(vocabulary->components +
						   (size_t) (number - 1) * vocabulary->component_count);
}

/*
 * Weigh the terms that were counted, and forget their frequencies
 */
static void
weigh_terms(const Vocabulary *vocabulary, RowTerms *row)
{
	double		squares = 0;
	double		norm;

	for (uint32_t i = 0; i < row->count; i++)
	{
		uint32_t	term = row->terms[i];
		uint32_t	frequency = row->frequencies[term];

		if (frequency > vocabulary->frequency_count)
			frequency = vocabulary->frequency_count;
		row->frequencies[term] = 0;
		row->weights[i] = vocabulary->frequency_weights[frequency - 1] * vocabulary->idf[term];
		squares += row->weights[i] * row->weights[i];
	}
	if (!vocabulary->is_normalised || squares == 0)
		return;
	norm = sqrt(squares);
	for (uint32_t i = 0; i < row->count; i++)
		row->weights[i] /= norm;
}

/*
 * The sums of the components of a row's terms, each from 0 and in the order of the terms
 */
void
sum_components(const Vocabulary *vocabulary, RowTerms *row)
{
	uint32_t	component_count = vocabulary->component_count;

	if (!vocabulary->has_topics || vocabulary->term_count == 0)
		return;
	memset(row->sums, 0, component_count * sizeof(double));
	for (uint32_t i = 0; i < row->count; i++)
	{
		const float *components = vocabulary->components +
			(size_t) row->terms[i] * component_count;

		for (uint32_t k = 0; k < component_count; k++)
			row->sums[k] += row->weights[i] * (double) components[k];
	}
}

/*
 * Read a text once for all vocabularies of its column, and fill in its counts
 */
void
read_text_terms(const SqlmlModel *model, const TextStep *step, const SqlmlValue *value,
				SqlmlWorkspace *workspace)
{
	static const SqlmlText nothing = {"", 0};
	const Encoding *encoding = model->encoding;
	const uint32_t *own = encoding->vocabularies + step->first_vocabulary;
	TextReader	reader = start_text(value->is_missing ? nothing : value->as.text);
	uint64_t	hash;
	uint64_t	previous = 0;

	for (uint32_t i = 0; i < step->vocabulary_count; i++)
		workspace->terms[own[i]].count = 0;
	for (; read_token(&reader, &hash); previous = hash)
		for (uint32_t i = 0; i < step->vocabulary_count; i++)
		{
			const Vocabulary *vocabulary = &model->vocabularies[own[i]];
			RowTerms   *row = &workspace->terms[own[i]];

			count_term(vocabulary, row, hash);
			if (vocabulary->has_bigrams && reader.counts.words > 1)
				count_term(vocabulary, row, hash_bigram(previous, hash));
		}
	for (uint32_t i = 0; i < step->vocabulary_count; i++)
		weigh_terms(&model->vocabularies[own[i]], &workspace->terms[own[i]]);
	for (uint32_t i = 0; i < step->count_count; i++)
	{
		uint32_t	feature = encoding->counts[step->first_count + i];

		workspace->features[feature] = value->is_missing ? model->features[feature].fill
			: get_text_count(&reader.counts, model->features[feature].op);
	}
}
