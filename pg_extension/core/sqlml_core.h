/*
 * sqlml_core.h
 *	  The scoring core: reads an artifact and scores rows with it.
 *
 * Knows no PostgreSQL and no Python, so that the extension and the CPython
 * module give the same answers. Nothing here aborts, prints or keeps global
 * state. docs/artifact.md describes the bytes.
 *
 * Use: sqlml_open() and sqlml_make_workspace() once; for each row fill one
 * SqlmlValue a column, then sqlml_score() and one of sqlml_value(),
 * sqlml_choose_class() and sqlml_probability().
 */
#ifndef SQLML_CORE_H
#define SQLML_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQLML_FORMAT_VERSION 3

typedef enum SqlmlStatus
{
	SQLML_OK = 0,
	SQLML_DAMAGED,				/* the bytes are not a sound artifact */
	SQLML_UNSUPPORTED,			/* a format version that this build cannot read;
								 * contributions that the model does not have */
	SQLML_NO_MEMORY
} SqlmlStatus;

typedef struct SqlmlError
{
	SqlmlStatus status;
	char		message[160];	/* one line, lower case, no full stop */
} SqlmlError;

/* allocate returns NULL when there is no memory; it need not zero it */
typedef struct SqlmlAllocator
{
	void	   *(*allocate) (void *argument, size_t size);
	void		(*release) (void *argument, void *pointer);
	void	   *argument;
} SqlmlAllocator;

/* UTF-8 without a terminating zero; valid and free of zero bytes */
typedef struct SqlmlText
{
	const char *data;
	uint32_t	size;
} SqlmlText;

/* NaN is a missing element */
typedef struct SqlmlArray
{
	const double *elements;
	uint32_t	count;
} SqlmlArray;

typedef enum SqlmlProblem
{
	SQLML_BINARY = 0,
	SQLML_MULTICLASS = 1,
	SQLML_REGRESSION = 2
} SqlmlProblem;

/* How a raw score becomes the response */
typedef enum SqlmlLink
{
	SQLML_IDENTITY = 0,
	SQLML_EXP = 1,
	SQLML_EXPM1 = 2,
	SQLML_SQUARE = 3,			/* with the sign of the raw score */
	SQLML_LOGISTIC = 4,
	SQLML_SOFTMAX = 5
} SqlmlLink;

typedef enum SqlmlKind
{
	SQLML_NUMERIC = 0,
	SQLML_BOOLEAN = 1,
	SQLML_CATEGORY = 2,
	SQLML_DATETIME = 3,
	SQLML_ARRAY = 4
} SqlmlKind;

typedef struct SqlmlColumn
{
	SqlmlText	name;
	SqlmlText	type_name;		/* the SQL type at training, for messages */
	SqlmlKind	kind;
	bool		is_real;		/* of reals: a JSON number is rounded to one */
	bool		is_padded;		/* type character: trailing blanks mean nothing */
} SqlmlColumn;

typedef struct SqlmlModel
{
	SqlmlProblem problem;
	uint32_t	output_count;	/* raw scores a row */
	uint32_t	class_count;	/* 0 for a regression */
	SqlmlText  *classes;
	uint32_t	column_count;
	SqlmlColumn *columns;
	uint32_t	feature_count;
	uint32_t	vocabulary_count;	/* private from here on */
	struct Vocabulary *vocabularies;
	struct SqlmlFeature *features;
	struct Encoding *encoding;
	SqlmlLink	link;
	bool		blends_responses;	/* of its parts; else their raw scores */
	double		scale;
	double	   *offsets;		/* one an output, or NULL */
	double		threshold;		/* of the second class of a binary model */
	uint32_t	part_count;
	struct SqlmlPart *parts;
	struct Evaluator *evaluator;	/* NULL: no part has tables */
	SqlmlAllocator allocator;
	struct SqlmlBlock *blocks;
} SqlmlModel;

/* The value of one column in one row. NaN is a missing number as well. */
typedef struct SqlmlValue
{
	bool		is_missing;
	union
	{
		double		number;		/* NUMERIC; BOOLEAN as 0 or 1 */
		int64_t		micros;		/* DATETIME: since 2000-01-01 00:00 UTC */
		SqlmlText	text;		/* CATEGORY, in UTF-8 */
		SqlmlArray	array;		/* ARRAY */
	}			as;
} SqlmlValue;

/*
 * Open the artifact in bytes, checking all of it. The bytes must outlive the
 * model. Returns NULL and fills the error when they are no sound artifact.
 */
extern SqlmlModel *sqlml_open(const uint8_t *bytes, size_t size,
							  const SqlmlAllocator *allocator, SqlmlError *error);
extern void sqlml_close(SqlmlModel *model);

/* What one row is scored in. Threads need one each. */
typedef struct SqlmlWorkspace SqlmlWorkspace;

/* The bytes of a workspace, and the workspace in that memory, wherever it lies. */
extern size_t sqlml_workspace_size(const SqlmlModel *model);
extern SqlmlWorkspace *sqlml_make_workspace(const SqlmlModel *model, void *memory);

/* Turn column_count values into output_count raw scores. */
extern void sqlml_score(const SqlmlModel *model, const SqlmlValue *values,
						SqlmlWorkspace *workspace, double *scores);

/* Whether the raw scores are the estimator's own to the last bit. */
extern bool sqlml_is_exact(const SqlmlModel *model);

/* The predicted number. Only for a regression. */
extern double sqlml_value(const SqlmlModel *model, const double *scores);

/* The index of the predicted class. Not for a regression. */
extern uint32_t sqlml_choose_class(const SqlmlModel *model, const double *scores);

/* The probability of a class. Not for a regression. */
extern double sqlml_probability(const SqlmlModel *model, const double *scores,
								uint32_t class_index);

/*
 * What each column adds to the raw scores: for each output column_count
 * numbers, then the base that they are added to. They sum to the raw score but
 * for rounding: docs/artifact.md. SQLML_UNSUPPORTED, with a reason in the
 * error, when the model has no contributions. The memory is of the given size
 * and aligned for doubles.
 */
extern size_t sqlml_contribution_size(const SqlmlModel *model);
extern SqlmlStatus sqlml_contribute(const SqlmlModel *model, const SqlmlValue *values,
									void *memory, double *contributions, SqlmlError *error);

/* The index of a class by its label, or -1. */
extern int64_t sqlml_find_class(const SqlmlModel *model, SqlmlText label);

/* A number read from JSON as the column's own type would hold it. */
extern double sqlml_json_number(const SqlmlColumn *column, double number);

/* A string read from JSON as the column's own type would compare it. */
extern SqlmlText sqlml_json_text(const SqlmlColumn *column, SqlmlText text);

typedef enum SqlmlDatetimeStatus
{
	SQLML_DATETIME_OK = 0,
	SQLML_DATETIME_INFINITE,
	SQLML_DATETIME_INVALID,
	SQLML_DATETIME_OUT_OF_RANGE
} SqlmlDatetimeStatus;

/*
 * Read an ISO 8601 date or timestamp, also as PostgreSQL puts them into JSON
 * ("infinity", years of more than four digits, " BC"). No offset means UTC.
 */
extern SqlmlDatetimeStatus sqlml_parse_datetime(SqlmlText text, int64_t *micros);

#endif							/* SQLML_CORE_H */
