/*
 * evaluator.h
 *	  How a row meets many trees at once: bins, mask tables, the walk on bins
 *	  and the loops over them for each instruction set.
 *
 * Every table is made by asking goes_left() about one representative of each
 * bin, so that no evaluator has rules of its own. docs/decisions/0010 says why
 * they are built as they are.
 */
#ifndef SQLML_EVALUATOR_H
#define SQLML_EVALUATOR_H

#include "internal.h"

/* A search step looks at this many boundaries */
#define SEARCH_WIDTH 16
#define SEARCH_DEPTH_MAX 4
#define BINS_MAX 65000

/* The boundaries of a node below separators: a cache line */
#define NODE_BOUNDARIES (SEARCH_WIDTH / 2)

/*
 * Finds the bin of a feature that is a number: how many boundaries are below
 * it. The last of the levels holds all boundaries, each one before every 16th
 * of the next; what fills up a level is infinite and thus below nothing. NaN
 * has the last bin. The bin of a code is the code.
 *
 * Up to 136 boundaries are one level, cut into nodes by separators. Any number
 * does as a separator that is not below the last boundary of a node, but is
 * below the next one; where such floats exist, a search reads half as much.
 */
typedef struct BinSearch
{
	_Alignas(CACHE_LINE) float separators[SEARCH_WIDTH];
	bool		has_separators;
	uint32_t	feature;
	uint32_t	depth;
	uint32_t	boundary_count;
	const double *levels[SEARCH_DEPTH_MAX];
} BinSearch;

/*
 * Masks: a tree's leaves are numbered from left to right, and a lane of 32 or
 * 64 bits tells which of them can still be reached. A row is a block's lanes
 * for one bin of one feature: the AND of a value's rows leaves the leaf as the
 * lowest bit of each lane.
 */
#define ROW_SIZE 64
#define GROUP_BLOCKS 4

/* Where the ids of a feature's rows lie: for each bin, for each of its groups */
typedef struct MaskFeature
{
	uint32_t	feature;
	uint32_t	first_id;
	uint32_t	stride;
} MaskFeature;

/* A feature that a group of blocks asks for */
typedef struct MaskUse
{
	uint32_t	mask_feature;
	uint32_t	position;		/* of the group's ids among those of a bin */
} MaskUse;

typedef struct MaskGroup
{
	uint32_t	use_count;
	size_t		first_row;
} MaskGroup;

typedef struct Masks
{
	uint32_t	lane_bits;
	uint32_t	tree_count;
	uint32_t	group_count;
	uint32_t	feature_count;
	const MaskFeature *features;
	const MaskGroup *groups;
	const MaskUse *uses;		/* group by group */
	const uint16_t *ids;		/* of rows within the group; row 0 clears nothing */
	const uint8_t *rows;
	const double *leaves;		/* lane_bits of them a tree */
} Masks;

/*
 * Walk: nodes whose test is (cells[cell] & mask) > split. The cells of a
 * feature are copied from its bin: one for each rule about missing values,
 * where order decides, and one for each sixteen category sets, a bit a set.
 */
#define WALK_WIDTH 8

typedef struct WalkNode
{
	uint16_t	cell;
	uint16_t	mask;			/* 0: a leaf, which leads to itself */
	uint16_t	split;			/* of a leaf its number */
	uint16_t	child;			/* the left one; the right one follows it */
} WalkNode;

typedef struct WalkFeature
{
	uint32_t	feature;
	uint32_t	first_cell;
	uint32_t	cell_count;
	const uint16_t *cells;		/* cell_count for each bin */
} WalkFeature;

typedef struct WalkTree
{
	const WalkNode *nodes;
	const double *leaves;
} WalkTree;

typedef struct Walk
{
	uint32_t	tree_count;
	uint32_t	leaf_size;
	uint32_t	cell_count;
	uint32_t	feature_count;
	const WalkFeature *features;
	const WalkTree *trees;		/* filled up to a multiple of WALK_WIDTH */
} Walk;

/* The loops that gain by wide registers */
typedef struct Kernel
{
	const char *name;
	void		(*find_bins) (const BinSearch *searches, uint32_t count,
							  const double *numbers, uint16_t *bins);
	void		(*score_masks32) (const Masks *masks, const uint16_t *const *ids,
								  uint32_t output_count, double *scores);
	void		(*score_masks64) (const Masks *masks, const uint16_t *const *ids,
								  uint32_t output_count, double *scores);
} Kernel;

/* What all parts of a model share */
typedef struct Evaluator
{
	const Kernel *kernel;
	uint32_t	search_count;
	BinSearch  *searches;
	uint32_t	code_count;
	uint32_t   *codes;			/* features whose bins are their codes */
	uint32_t   *bin_counts;		/* one a feature; 0: no tree asks for it */
	const BinSearch **feature_searches; /* one a feature, NULL for codes */
	uint32_t	id_count;		/* the most that masks need in a workspace */
	uint32_t	cell_count;		/* the most that a walk needs */
} Evaluator;

/* Asks for evaluators and instruction sets; tests do, others leave it to us */
typedef enum EvaluatorKind
{
	EVALUATOR_ANY = 0,
	EVALUATOR_PLAIN,
	EVALUATOR_MASKS,
	EVALUATOR_WALK
} EvaluatorKind;

typedef enum InstructionSet
{
	INSTRUCTIONS_ANY = 0,
	INSTRUCTIONS_PORTABLE,
	INSTRUCTIONS_AVX2,
	INSTRUCTIONS_AVX512
} InstructionSet;

typedef struct EvaluatorChoice
{
	EvaluatorKind kind;
	InstructionSet instructions;
} EvaluatorChoice;

/*
 * What one stage of building works with. Memory of the scratch reader is freed
 * when the evaluators are built. Work that passes its bound ends a stage
 * without a failure; another evaluator takes its place.
 */
typedef struct Builder
{
	Reader	   *reader;
	Reader		scratch;
	SqlmlModel	scratch_model;
	Evaluator  *evaluator;
	uint64_t	work;
} Builder;

/* How often a rule may be asked while a model is opened: a fraction of a second */
#define WORK_MAX (UINT64_C(1) << 26)

#pragma GCC visibility push(hidden)

/* bins.c */
extern bool build_bins(Builder *builder);
extern double get_representative(const Evaluator *evaluator, uint32_t feature, uint32_t bin);
extern uint32_t find_bin(const BinSearch *search, double number);
extern void visit_boundaries(const SqlmlTree *tree, const TreeNode *node,
							 void (*visit) (void *argument, double boundary), void *argument);

/* masks.c, walk.c: NULL where the part does not suit them */
extern Masks *build_masks(Builder *builder, const SqlmlPart *part);
extern Walk *build_walk(Builder *builder, const SqlmlPart *part);
extern void score_walk(const Walk *walk, const uint16_t *bins, uint16_t *cells,
					   uint32_t output_count, double *scores);

/* kernel.c; NULL where the processor or the build lacks the instructions */
extern const Kernel *get_kernel(InstructionSet instructions);

/* evaluator.c */
extern void build_evaluators(Reader *reader, const EvaluatorChoice *choice);
extern EvaluatorKind get_evaluator(const SqlmlPart *part);
extern SqlmlModel *sqlml_open_as(const uint8_t *bytes, size_t size,
								 const SqlmlAllocator *allocator,
								 const EvaluatorChoice *choice, SqlmlError *error);

#pragma GCC visibility pop

#endif							/* SQLML_EVALUATOR_H */
