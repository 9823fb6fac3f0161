/*
 * internal.h
 *	  What the files of the core share and nobody else sees.
 */
#ifndef SQLML_INTERNAL_H
#define SQLML_INTERNAL_H

#include <float.h>

#include "sqlml_core.h"

#if FLT_EVAL_METHOD != 0
#error "scores are exact only where doubles are computed as doubles"
#endif

typedef enum SqlmlOp
{
	OP_VALUE = 0,
	OP_CODE,
	OP_EPOCH,
	OP_YEAR,
	OP_MONTH,
	OP_DAY,
	OP_WEEKDAY,
	OP_YEARDAY,
	OP_HOUR,
	OP_LOOKUP,
	OP_CHARACTERS,
	OP_WORDS,
	OP_DIGITS,
	OP_CAPITALS,
	OP_TOPIC,
	OP_SCORE,
	OP_ELEMENT,
	OP_LENGTH,
	OP_MEAN,
	OP_MINIMUM,
	OP_MAXIMUM,
	OP_COUNT
} SqlmlOp;

/* The column of a feature that has none: of a score */
#define NO_COLUMN UINT32_MAX

/* LightGBM's kZeroThreshold is a float; numbers this near zero are zero to it */
#define ZERO_THRESHOLD ((double) 1e-35f)

#define CACHE_LINE 64

#define BUCKET_SIZE 2

/*
 * Half a cache line. A key is the text itself, filled up with zeros,
 * which no text holds, or the hash of a longer one. Filled from the beginning.
 */
typedef struct DictionaryBucket
{
	uint64_t	keys[BUCKET_SIZE];
	uint32_t	numbers[BUCKET_SIZE];	/* of the texts, counted from 1; 0: free */
	uint64_t	padding;
} DictionaryBucket;

/* Where a bucket is full, the texts that it has no room for are in the next ones */
typedef struct Dictionary
{
	const SqlmlText *texts;
	DictionaryBucket *buckets;
	uint32_t	bucket_count;
	uint64_t	seed;
} Dictionary;

typedef struct SqlmlFeature
{
	uint32_t	column;
	SqlmlOp		op;
	double		fill;
	uint32_t	source;			/* lookup: a feature; topic: a vocabulary; score: a part */
	uint32_t	place;			/* topic: a component; score: an output; element: its index */
	uint32_t	level_count;
	Dictionary	levels;
	double	   *values;			/* of a lookup, one a code */
} SqlmlFeature;

/* A term of a vocabulary by its hash: half of it tells most others */
typedef struct TermSlot
{
	uint32_t	tag;
	uint32_t	number;			/* of the term, counted from 1; 0: free */
} TermSlot;

/* The terms of a column's texts that are known */
typedef struct Vocabulary
{
	uint32_t	column;
	bool		has_bigrams;
	bool		is_normalised;
	bool		has_topics;		/* features ask for its components */
	uint32_t	frequency_count;
	double	   *frequency_weights;
	uint32_t	term_count;
	uint64_t   *hashes;			/* ascending */
	double	   *idf;
	uint32_t	component_count;
	float	   *components;		/* terms x components */
	uint32_t	slot_count;
	uint64_t	seed;
	TermSlot   *slots;
} Vocabulary;

typedef struct NumberStep
{
	uint32_t	column;
	uint32_t	feature;
	double		fill;
} NumberStep;

typedef struct CodeStep
{
	uint32_t	column;
	uint32_t	feature;
	const Dictionary *levels;
} CodeStep;

typedef struct LookupStep
{
	uint32_t	source;
	uint32_t	feature;
	const double *values;
} LookupStep;

/* A text that is read for its vocabularies and counts, which are ranges of all of them */
typedef struct TextStep
{
	uint32_t	column;
	uint32_t	first_vocabulary;
	uint32_t	vocabulary_count;
	uint32_t	first_count;
	uint32_t	count_count;
} TextStep;

/* The features again, by how they are encoded */
typedef struct Encoding
{
	uint32_t	number_count;
	uint32_t	code_count;
	uint32_t	datetime_count;
	NumberStep *numbers;
	CodeStep   *codes;
	uint32_t   *datetimes;		/* the first part of each datetime */
	bool		has_more;		/* than these */
	uint32_t	lookup_count;
	uint32_t	text_count;
	uint32_t	topic_count;
	uint32_t	array_count;
	uint32_t	score_count;
	uint32_t	source_count;
	LookupStep *lookups;
	TextStep   *texts;
	uint32_t   *vocabularies;	/* column by column */
	uint32_t   *counts;			/* features, column by column */
	uint32_t   *topics;			/* features, and so on */
	uint32_t   *arrays;
	uint32_t   *scores;
	uint32_t   *sources;		/* the parts that scores ask for */
} Encoding;

typedef struct Calendar
{
	int64_t		year;
	int64_t		month;
	int64_t		day;
	int64_t		yearday;
} Calendar;

typedef struct Datetime
{
	int64_t		micros;
	Calendar	calendar;
} Datetime;

typedef struct TreeNode
{
	union
	{
		double		threshold;
		struct
		{
			uint32_t	first;
			uint32_t	count;
		}			words;		/* of the category set */
	}			split;
	uint32_t	feature;
	uint32_t	flags;
	int32_t		left;			/* >= 0: a node; < 0: the leaf ~left */
	int32_t		right;
} TreeNode;

#define NODE_CATEGORICAL 1u
#define NODE_DEFAULT_LEFT 2u
#define NODE_MISSING(flags) (((flags) >> 2) & 3u)
#define NODE_FLAGS_MAX 11u

enum
{
	MISSING_NONE = 0,
	MISSING_ZERO = 1,
	MISSING_NAN = 2
};

typedef struct SqlmlTree
{
	uint32_t	node_count;
	TreeNode   *nodes;
	double	   *leaves;			/* node_count + 1 of them, leaf_size doubles each */
	uint32_t   *leaf_counts;	/* training rows in each leaf */
	uint32_t   *words;
	uint32_t	depth;			/* splits on the longest way to a leaf */
} SqlmlTree;

typedef enum TermKind
{
	TERM_NUMERIC = 1,
	TERM_CODE = 2,
	TERM_TEXT = 3,
	TERM_STEP = 4
} TermKind;

typedef struct SqlmlTerm
{
	TermKind	kind;
	union
	{
		uint32_t	feature;
		uint32_t	vocabulary; /* of a text */
	};
	union
	{
		struct
		{
			double		low;
			double		high;
			double		mean;
			double		inverse_scale;
		};
		uint32_t	step_count;
	};
	union
	{
		double	   *weights;	/* numeric: one an output; code, step: codes x outputs */
		float	   *text_weights;	/* terms x outputs */
	};
	double	   *missing_weights;
} SqlmlTerm;

/* Trees, or where there are none, linear terms */
typedef struct SqlmlPart
{
	double		weight;			/* in the blend; 0: there for scores only */
	SqlmlLink	link;
	bool		is_average;		/* over the iterations of its trees */
	uint32_t	iteration_count;
	uint32_t	leaf_size;		/* outputs that a tree adds to: one, in turn, or all */
	uint32_t	tree_count;
	SqlmlTree  *trees;
	double	   *intercepts;
	uint32_t	term_count;
	SqlmlTerm  *terms;
	uint32_t	source;			/* its place among the sources of scores, plus one; 0: none */
	struct Masks *masks;		/* at most one of these; neither: a plain walk */
	struct Walk *walk;
} SqlmlPart;

/* What a row's text has of a vocabulary */
typedef struct RowTerms
{
	uint32_t	count;
	uint32_t   *terms;			/* each once, in the order of the text */
	double	   *weights;		/* of these */
	uint32_t   *frequencies;	/* of all terms; 0 between rows */
	double	   *sums;			/* of the components */
} RowTerms;

struct SqlmlWorkspace
{
	double	   *features;		/* feature_count of them */
	double	   *part_scores;	/* output_count of them */
	uint16_t   *bins;			/* feature_count of them */
	uint16_t   *cells;			/* of a walk */
	const uint16_t **ids;		/* of masks */
	RowTerms   *terms;			/* vocabulary_count of them */
	double	   *source_scores;	/* output_count for each source of scores */
};

/*
 * A cursor over bytes. After the first failure every read gives zero, so that
 * callers check once a stage instead of once a read.
 */
typedef struct Reader
{
	const uint8_t *bytes;
	size_t		size;
	size_t		offset;
	SqlmlModel *model;
	SqlmlError *error;
} Reader;

/* hidden, lest a name of PostgreSQL's own take a call */
#pragma GCC visibility push(hidden)

/* reader.c */
extern void fail(Reader *reader, SqlmlStatus status, const char *message);
extern bool has_failed(const Reader *reader);
extern void *reader_allocate(Reader *reader, size_t count, size_t item_size);
extern void *allocate_aligned(Reader *reader, size_t count, size_t item_size);
extern void release_blocks(SqlmlModel *model, const struct SqlmlBlock *last);
extern uint32_t read_u32(Reader *reader);
extern uint64_t read_u64(Reader *reader);
extern double read_finite(Reader *reader);
extern double read_double(Reader *reader);
extern void read_doubles(Reader *reader, double *values, size_t count);
extern void read_floats(Reader *reader, float *values, size_t count);
extern uint32_t read_count(Reader *reader, size_t item_size);
extern SqlmlText read_text(Reader *reader);
extern SqlmlText *read_texts(Reader *reader, uint32_t count);
extern Reader open_section(Reader *reader, uint32_t kind);
extern void close_section(Reader *reader, const Reader *section);
extern uint32_t crc32_of(const uint8_t *bytes, size_t size);

/* dictionary.c */
extern bool is_utf8(const uint8_t *bytes, size_t size);
extern bool is_same_text(SqlmlText left, SqlmlText right);
extern void make_dictionary(Reader *reader, Dictionary *dictionary,
							const SqlmlText *texts, uint32_t count);
extern uint64_t make_long_key(SqlmlText text);
extern uint32_t find_long_text(const Dictionary *dictionary, SqlmlText text);

/* datetime.c */
extern Datetime split_datetime(int64_t micros);
extern double get_datetime_part(const Datetime *datetime, SqlmlOp op);

/* vocabulary.c */
extern void read_vocabularies(Reader *reader);
extern void lay_out_terms(const Vocabulary *vocabulary, RowTerms *row, uintptr_t *next);
extern void sum_components(const Vocabulary *vocabulary, RowTerms *row);
extern void read_text_terms(const SqlmlModel *model, const TextStep *step,
							const SqlmlValue *value, SqlmlWorkspace *workspace);

/* array.c */
extern double summarise_array(const SqlmlFeature *feature, const SqlmlValue *value);

/* features.c, encoding.c */
extern void read_features(Reader *reader);
extern void plan_encoding(Reader *reader);
extern void encode_row(const SqlmlModel *model, const SqlmlValue *values,
					   SqlmlWorkspace *workspace);

/* trees.c, linear.c */
extern void read_trees(Reader *reader, SqlmlPart *part);
extern bool goes_left(const SqlmlTree *tree, const TreeNode *node, double value);
extern void walk_trees(const SqlmlModel *model, const SqlmlPart *part,
					   const double *features, double *scores);
extern void read_linear(Reader *reader, SqlmlPart *part);
extern void score_linear(const SqlmlModel *model, const SqlmlPart *part,
						 const SqlmlWorkspace *workspace, double *scores);
extern double get_term(const SqlmlTerm *term, const SqlmlWorkspace *workspace, uint32_t output,
					   uint32_t output_count);

/* parts.c */
extern void read_part_settings(Reader *reader);
extern double *get_source_scores(const SqlmlModel *model, const SqlmlWorkspace *workspace,
								 uint32_t source);
extern void read_parts(Reader *reader);

/* response.c */
extern void respond(SqlmlLink link, uint32_t output_count, double *scores);
extern void invert_response(const SqlmlModel *model, double *responses);

/* evaluator.c */
extern void *take_memory(uintptr_t *next, size_t count, size_t item_size);
extern void find_bins(const SqlmlModel *model, SqlmlWorkspace *workspace);
extern void sum_leaves(const SqlmlModel *model, const SqlmlPart *part,
					   SqlmlWorkspace *workspace, double *scores);

#pragma GCC visibility pop

#endif							/* SQLML_INTERNAL_H */
