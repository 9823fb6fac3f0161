/*
 * texts.c
 *	  The tokens of many texts, for the search.
 *
 * Texts come as buffers of Arrow: all their bytes, where each begins and the
 * last one ends, and which are missing. A missing one has no tokens.
 */
#include "scoring.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#define COUNTS_PER_TEXT 4

typedef struct Texts
{
	Py_buffer	content;
	Py_buffer	offsets;		/* int64, one more than rows */
	Py_buffer	missing;		/* a byte a row */
	Py_ssize_t	row_count;
} Texts;

/* Hashes of all texts; grows */
typedef struct Terms
{
	uint64_t   *hashes;
	size_t		count;
	size_t		capacity;
	bool		has_bigrams;
} Terms;

static void
release_texts(Texts *texts)
{
	PyBuffer_Release(&texts->content);
	PyBuffer_Release(&texts->offsets);
	PyBuffer_Release(&texts->missing);
}

static bool
fill_texts(Texts *texts, PyObject *content, PyObject *offsets, PyObject *missing)
{
	if (PyObject_GetBuffer(content, &texts->content, PyBUF_SIMPLE) < 0 ||
		PyObject_GetBuffer(offsets, &texts->offsets, PyBUF_SIMPLE) < 0 ||
		PyObject_GetBuffer(missing, &texts->missing, PyBUF_SIMPLE) < 0)
		return false;
	texts->row_count = texts->missing.len;
	if (has_sound_offsets(&texts->offsets, texts->content.len, texts->row_count))
		return true;
	PyErr_SetString(PyExc_ValueError, "the texts do not have the stated number of rows");
	return false;
}

static bool
is_missing(const Texts *texts, Py_ssize_t row)
{
	return ((const uint8_t *) texts->missing.buf)[row] != 0;
}

static TextReader
start_row(const Texts *texts, Py_ssize_t row)
{
	const int64_t *offsets = texts->offsets.buf;
	SqlmlText	text = {
		(const char *) texts->content.buf + offsets[row],
		(uint32_t) (offsets[row + 1] - offsets[row])
	};

	return start_text(text);
}

static bool
add_term(Terms *terms, uint64_t hash)
{
	if (terms->count == terms->capacity)
	{
		size_t		capacity = 2 * terms->capacity + 1024;
		uint64_t   *hashes = realloc(terms->hashes, capacity * sizeof(uint64_t));

		if (hashes == NULL)
			return false;
		terms->hashes = hashes;
		terms->capacity = capacity;
	}
	terms->hashes[terms->count++] = hash;
	return true;
}

static bool
add_text(Terms *terms, TextReader reader)
{
	uint64_t	hash;
	uint64_t	previous = 0;

	while (read_token(&reader, &hash))
	{
		if (!add_term(terms, hash))
			return false;
		if (terms->has_bigrams && reader.counts.words > 1 &&
			!add_term(terms, hash_bigram(previous, hash)))
			return false;
		previous = hash;
	}
	return true;
}

static bool
add_texts(const Texts *texts, Terms *terms, int64_t *ends)
{
	bool		has_memory = true;

	Py_BEGIN_ALLOW_THREADS
	ends[0] = 0;
	for (Py_ssize_t row = 0; row < texts->row_count && has_memory; row++)
	{
		if (!is_missing(texts, row))
			has_memory = add_text(terms, start_row(texts, row));
		ends[row + 1] = (int64_t) terms->count;
	}
	Py_END_ALLOW_THREADS
	if (!has_memory)
		PyErr_NoMemory();
	return has_memory;
}

/* Where each text's terms begin and the last ones end, and the terms */
static PyObject *
make_terms(const Texts *texts, Terms *terms)
{
	PyObject   *ends = PyBytes_FromStringAndSize(NULL, (texts->row_count + 1) *
												 (Py_ssize_t) sizeof(int64_t));
	PyObject   *hashes = NULL;
	PyObject   *pair = NULL;

	if (ends != NULL && add_texts(texts, terms, (int64_t *) PyBytes_AsString(ends)))
		hashes = PyBytes_FromStringAndSize((const char *) terms->hashes,
										   (Py_ssize_t) (terms->count * sizeof(uint64_t)));
	if (hashes != NULL)
		pair = PyTuple_Pack(2, ends, hashes);
	Py_XDECREF(ends);
	Py_XDECREF(hashes);
	free(terms->hashes);
	return pair;
}

PyObject *
module_tokenize(PyObject *module, PyObject *arguments)
{
	PyObject   *content;
	PyObject   *offsets;
	PyObject   *missing;
	int			has_bigrams;
	Texts		texts;
	Terms		terms = {NULL, 0, 0, false};
	PyObject   *pair = NULL;

	(void) module;
	if (!PyArg_ParseTuple(arguments, "OOOp:tokenize", &content, &offsets, &missing, &has_bigrams))
		return NULL;
	memset(&texts, 0, sizeof(texts));
	terms.has_bigrams = has_bigrams != 0;
	if (fill_texts(&texts, content, offsets, missing))
		pair = make_terms(&texts, &terms);
	release_texts(&texts);
	return pair;
}

static void
count_texts(const Texts *texts, double *counts)
{
	for (Py_ssize_t row = 0; row < texts->row_count; row++)
	{
		double	   *own = counts + row * COUNTS_PER_TEXT;
		TextReader	reader = start_row(texts, row);
		uint64_t	hash;

		while (read_token(&reader, &hash))
			continue;
		own[0] = is_missing(texts, row) ? Py_NAN : reader.counts.characters;
		own[1] = is_missing(texts, row) ? Py_NAN : reader.counts.words;
		own[2] = is_missing(texts, row) ? Py_NAN : reader.counts.digits;
		own[3] = is_missing(texts, row) ? Py_NAN : reader.counts.capitals;
	}
}

PyObject *
module_text_counts(PyObject *module, PyObject *arguments)
{
	PyObject   *content;
	PyObject   *offsets;
	PyObject   *missing;
	Texts		texts;
	PyObject   *counts = NULL;

	(void) module;
	if (!PyArg_ParseTuple(arguments, "OOO:text_counts", &content, &offsets, &missing))
		return NULL;
	memset(&texts, 0, sizeof(texts));
	if (fill_texts(&texts, content, offsets, missing))
		counts = PyBytes_FromStringAndSize(NULL, texts.row_count * COUNTS_PER_TEXT *
										   (Py_ssize_t) sizeof(double));
	if (counts != NULL)
	{
		Py_BEGIN_ALLOW_THREADS
		count_texts(&texts, (double *) PyBytes_AsString(counts));
		Py_END_ALLOW_THREADS
	}
	release_texts(&texts);
	return counts;
}
